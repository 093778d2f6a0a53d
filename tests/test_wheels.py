"""What is in the wheels: all sources and nothing else, and metadata that agree with the code.

That each wheel installs and works alone on every Python is shown by `.ci/wheels`, which needs a package index.
"""

import email
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEMBERS = {
    "cifar-models": ROOT / "packages" / "cifar-models",
    "cifar-data": ROOT / "packages" / "cifar-data",
    "cifar-explain": ROOT / "packages" / "cifar-explain",
    "cifar-train": ROOT / "packages" / "cifar-train",
    "cifar-space": ROOT / "apps" / "space",
}

#: What comes with a declared dependency that cannot do without it.
BROUGHT = {"cv2": "albumentations", "markupsafe": "jinja2"}


def module(name):
    return name.replace("-", "_")


def project(name):
    return tomllib.loads((MEMBERS[name] / "pyproject.toml").read_text())["project"]


def normalized(requirement):
    """The name of a requirement such as `jsonargparse[signatures]>=4.40`."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheels of all packages by name."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    out = tmp_path_factory.mktemp("wheels")
    subprocess.run(
        ["uv", "build", "--all-packages", "--wheel", "--offline", "--quiet", "--out-dir", out],
        cwd=ROOT,
        check=True,
    )
    return {path.name.partition("-")[0].replace("_", "-"): path for path in out.glob("*.whl")}


@pytest.fixture(scope="module")
def tracked():
    """The files that git knows, as paths from the root."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository, or git is not installed")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [Path(name) for name in listed.split("\0") if name]


def test_there_is_one_for_each_member(wheels):
    assert set(wheels) == set(MEMBERS)
    assert {member.parent.name for member in ROOT.glob("*/*/pyproject.toml")} == {
        member.name for member in MEMBERS.values()
    }


@pytest.mark.parametrize("name", MEMBERS)
def test_holds_the_sources_and_nothing_else(wheels, tracked, name):
    source = (MEMBERS[name] / "src").relative_to(ROOT)
    expected = {path.relative_to(source).as_posix() for path in tracked if path.is_relative_to(source)}
    with zipfile.ZipFile(wheels[name]) as wheel:
        held = {one for one in wheel.namelist() if ".dist-info/" not in one and not one.endswith("/")}
        # A file that is not committed yet may be there; one that git is told to ignore may not.
        new = subprocess.run(
            ["git", "ls-files", "-z", "--others", "--exclude-standard", "--", source],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        new = {Path(one).relative_to(source).as_posix() for one in new.split("\0") if one}
        assert held - new == expected
        for one in expected:
            assert wheel.read(one) == (ROOT / source / one).read_bytes()
        assert f"{module(name)}/py.typed" in held


@pytest.mark.parametrize("name", MEMBERS)
def test_metadata(wheels, name):
    with zipfile.ZipFile(wheels[name]) as wheel:
        (path,) = [one for one in wheel.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(wheel.read(path))
        license_path = path.replace("METADATA", "licenses/LICENSE")
        assert wheel.read(license_path) == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True).decode() == (MEMBERS[name] / "README.md").read_text()
    classifiers = metadata.get_all("Classifier")
    assert "Typing :: Typed" in classifiers
    # An upper bound would keep a library out of everybody's newer environments; classifiers name what was run.
    assert project(name)["requires-python"] == ">=3.11"
    assert [one for one in classifiers if re.search(r":: 3\.\d+$", one)] == [
        f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)
    ]


def test_all_have_one_version():
    assert len({project(name)["version"] for name in MEMBERS}) == 1


@pytest.mark.parametrize(
    ("command", "target"),
    [(command, target) for name in MEMBERS for command, target in project(name).get("scripts", {}).items()],
)
def test_commands_lead_to_functions(command, target):
    place, _, function = target.partition(":")
    assert callable(getattr(importlib.import_module(place), function)), command


@pytest.mark.parametrize("name", MEMBERS)
def test_what_is_imported_is_declared(imported_modules, name):
    table = project(name)
    extras = [one for needed in table.get("optional-dependencies", {}).values() for one in needed]
    declared = {normalized(one) for one in [*table["dependencies"], *extras]}
    sources = (MEMBERS[name] / "src").rglob("*.py")
    names = set().union(*map(imported_modules, sources)) - sys.stdlib_module_names - {module(name)}
    by_module = packages_distributions()
    undeclared = {
        one
        for one in names
        if not {*(normalized(found) for found in by_module.get(one, [one])), BROUGHT.get(one)} & declared
    }
    assert undeclared == set()
