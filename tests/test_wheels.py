"""The wheels hold all sources and nothing else, and their metadata agree with the code.

`.ci/wheels` shows that each wheel installs and works alone on every Python.
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
from size import imported_packages

ROOT = Path(__file__).parent.parent
MEMBERS = {
    tomllib.loads(path.read_text())["project"]["name"]: path.parent
    for path in ROOT.glob("*/*/pyproject.toml")
}
#: Modules that come with a declared dependency.
BROUGHT = {"cv2": "albumentations", "markupsafe": "jinja2"}


def project(name):
    return tomllib.loads((MEMBERS[name] / "pyproject.toml").read_text())["project"]


def normalized(requirement):
    """The name of a requirement such as `jsonargparse[signatures]>=4.40`."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def listed_by_git(*arguments):
    command = ["git", "ls-files", "-z", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split("\0") if name}


# One test, so that the wheels are built once.
def test_wheels_hold_the_sources_and_describe_them(tmp_path, missing):
    if not (shutil.which("uv") and shutil.which("git") and (ROOT / ".git").exists()):
        missing("uv or git is not installed, or this is no clone of the repository")
    command = ["uv", "build", "--all-packages", "--wheel", "--offline", "--quiet", "--out-dir", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True)
    wheels = {path.name.partition("-")[0].replace("_", "-"): path for path in tmp_path.glob("*.whl")}
    assert set(wheels) == set(MEMBERS)
    for name, path in wheels.items():
        with zipfile.ZipFile(path) as wheel:
            check_content(wheel, (MEMBERS[name] / "src").relative_to(ROOT).as_posix())
            check_metadata(wheel, name)


def check_content(wheel, source):
    held = {one for one in wheel.namelist() if ".dist-info/" not in one and not one.endswith("/")}
    expected = {one.removeprefix(f"{source}/") for one in listed_by_git(source)}
    # A file that is not committed yet may be there; one that git is told to ignore may not.
    new = listed_by_git("--others", "--exclude-standard", "--", source)
    assert held - {one.removeprefix(f"{source}/") for one in new} == expected
    for one in expected:
        assert wheel.read(one) == (ROOT / source / one).read_bytes(), one


def check_metadata(wheel, name):
    (path,) = [one for one in wheel.namelist() if one.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(wheel.read(path))
    license_path = path.replace("METADATA", "licenses/LICENSE")
    assert wheel.read(license_path) == (ROOT / "LICENSE").read_bytes()
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload(decode=True).decode() == (MEMBERS[name] / "README.md").read_text()


@pytest.mark.parametrize("name", MEMBERS)
def test_member_supports_the_pythons_that_are_tested_and_all_later_ones(name):
    # An upper bound would keep a library out of newer environments; the classifiers name the versions that CI runs.
    assert project(name)["requires-python"] == ">=3.11"
    classifiers = project(name)["classifiers"]
    assert "Typing :: Typed" in classifiers
    assert [one.rpartition(" ")[2] for one in classifiers if re.search(r":: 3\.\d+$", one)] == [
        "3.11",
        "3.12",
        "3.13",
    ]


def test_members_have_one_version():
    assert len({project(name)["version"] for name in MEMBERS}) == 1


def test_commands_lead_to_functions():
    targets = [target for name in MEMBERS for target in project(name).get("scripts", {}).values()]
    assert len(targets) >= 2
    for target in targets:
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function)), target


@pytest.mark.parametrize("name", MEMBERS)
def test_imported_packages_are_declared(name):
    table = project(name)
    extras = [one for needed in table.get("optional-dependencies", {}).values() for one in needed]
    declared = {normalized(one) for one in [*table["dependencies"], *extras]}
    names = imported_packages(*(MEMBERS[name] / "src").rglob("*.py"))
    by_module = packages_distributions()
    for module in names - sys.stdlib_module_names - {name.replace("-", "_")}:
        brought_by = {*map(normalized, by_module.get(module, [module])), BROUGHT.get(module)}
        assert brought_by & declared, module
