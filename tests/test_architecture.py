"""Who imports whom: the arrows of docs/ARCHITECTURE.md and no other."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "cifar_models": set(),
    "cifar_data": set(),
    "cifar_explain": set(),
    "cifar_train": {"cifar_models", "cifar_data", "cifar_explain"},
    "cifar_space": {"cifar_models", "cifar_explain"},
}
#: What the app must not ship.
TRAINING = {"lightning", "pytorch_lightning", "pl_bolts", "albumentations"}


def source(package):
    return next(ROOT.glob(f"*/*/src/{package}"))


@pytest.fixture
def imported(imported_modules):
    """A function: the top-level names of all modules that a package imports."""
    return lambda package: set().union(*map(imported_modules, source(package).rglob("*.py")))


@pytest.mark.parametrize("package", ALLOWED)
def test_no_other_arrow(imported, package):
    assert imported(package) & (set(ALLOWED) - {package}) <= ALLOWED[package]


@pytest.mark.parametrize("package", ["cifar_models", "cifar_explain", "cifar_space"])
def test_no_training_code_outside_data_and_train(imported, package):
    assert not imported(package) & TRAINING


@pytest.mark.parametrize("package", ALLOWED)
def test_declared_dependencies_cover_the_arrows(imported, package):
    project = tomllib.loads((source(package).parent.parent / "pyproject.toml").read_text())["project"]
    declared = {name.split("[")[0].split(">")[0].replace("-", "_") for name in project["dependencies"]}
    assert imported(package) & (set(ALLOWED) - {package}) <= declared


def test_no_circles_between_packages(imported):
    order = ["cifar_models", "cifar_data", "cifar_explain", "cifar_train", "cifar_space"]
    for position, package in enumerate(order):
        assert not imported(package) & set(order[position + 1 :])


@pytest.mark.parametrize("package", ALLOWED)
def test_every_package_is_typed_and_licensed(package):
    assert (source(package) / "py.typed").is_file()
    member = source(package).parent.parent
    assert (member / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (member / "README.md").read_text().strip().count("\n") > 3
