"""The wheels hold all sources and nothing else, and their metadata agree with the code."""

import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions

import pytest
from size import MEMBERS, ROOT, imported_packages

#: Modules that come with a declared dependency.
BROUGHT = {"cv2": "albumentations", "markupsafe": "jinja2"}


def project(name):
    return tomllib.loads((MEMBERS[name].parents[1] / "pyproject.toml").read_text())["project"]


def normalized(requirement):
    """The name of a requirement such as `jsonargparse[signatures]>=4.40`."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")


def listed_by_git(folder, *options):
    """The files below a folder, relative to it."""
    return set(subprocess.check_output(["git", "ls-files", *options], cwd=folder, text=True).splitlines())


# One test, so that the wheels are built once.
def test_wheels_hold_the_sources_and_describe_them(tmp_path, missing):
    if not (shutil.which("uv") and shutil.which("git") and (ROOT / ".git").exists()):
        missing("uv or git is not installed, or this is no clone of the repository")
    command = ["uv", "build", "--all-packages", "--wheel", "--offline", "--quiet", "--out-dir", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True)
    wheels = {path.name.partition("-")[0]: path for path in tmp_path.glob("*.whl")}
    assert set(wheels) == set(MEMBERS)
    for name, path in wheels.items():
        with zipfile.ZipFile(path) as wheel:
            content = {one: wheel.read(one) for one in wheel.namelist() if not one.endswith("/")}
        source, files = MEMBERS[name].parent, {one for one in content if ".dist-info/" not in one}
        # A file that is not committed yet may be there; one that git is told to ignore may not.
        assert files - listed_by_git(source, "--others", "--exclude-standard") == listed_by_git(source)
        assert all(content[one] == (source / one).read_bytes() for one in files)
        (described,) = [one for one in content if one.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(content[described])
        assert metadata["License-Expression"] == "MIT"
        assert metadata["Description-Content-Type"] == "text/markdown"
        assert metadata.get_payload(decode=True).decode() == (source.parent / "README.md").read_text()
        license = content[described.replace("METADATA", "licenses/LICENSE")]
        assert license == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("name", MEMBERS)
def test_member_supports_the_pythons_that_are_tested_and_all_later_ones(name):
    # An upper bound would keep a library out of newer environments; the classifiers name the versions that CI runs.
    assert project(name)["requires-python"] == ">=3.11"
    classifiers = project(name)["classifiers"]
    assert "Typing :: Typed" in classifiers
    assert re.findall(r":: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE) == ["3.11", "3.12", "3.13"]
    assert project(name)["version"] == project("cifar_train")["version"]


@pytest.mark.parametrize("name", MEMBERS)
def test_imported_packages_are_declared(name):
    table = project(name)
    extras = [one for needed in table.get("optional-dependencies", {}).values() for one in needed]
    declared = {normalized(one) for one in [*table["dependencies"], *extras]}
    names = imported_packages(*MEMBERS[name].rglob("*.py"))
    by_module = packages_distributions()
    for module in names - sys.stdlib_module_names - {name}:
        brought_by = {*map(normalized, by_module.get(module, [module])), BROUGHT.get(module)}
        assert brought_by & declared, module
