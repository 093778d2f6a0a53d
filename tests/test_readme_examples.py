"""The README's examples run as printed, each package's by themselves, and its commands are understood."""

import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import pytest
import yaml
from size import MEMBERS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
#: By package: its folder and its example.
PACKAGES = {
    name: (folder, example)
    for name, folder, example in re.findall(
        r"^\*\*\[(cifar-\w+)\]\((.*?)\).*?```python\n(.*?)```", README, re.MULTILINE | re.DOTALL
    )
}
COMMANDS = [
    shlex.split(line.partition("#")[0])[2:]
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("name", PACKAGES)
def test_example_runs_as_printed_and_needs_one_package(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(tmp_path))
    example = PACKAGES[name][1]
    assert MEMBERS.keys() & set(re.findall(r"\w+", example)) == {name.replace("-", "_")}
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"^print\(.*\)  # (.*)", example, re.MULTILINE)


@pytest.mark.slow
def test_packages_can_be_added_to_a_project(tmp_path):
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    subprocess.run(["uv", "init", "--bare", "--quiet"], cwd=tmp_path, check=True)
    command = re.search(r"`(uv add .*)/packages/cifar-models`", README)[1]
    for folder, _ in PACKAGES.values():
        words = shlex.split(f"{command}/{folder}".replace("CLONE", str(ROOT)))
        subprocess.run([*words, "--no-sync", "--quiet"], cwd=tmp_path, check=True)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    assert set(project["dependencies"]) == set(PACKAGES)


def call(words, monkeypatch):
    """Run a command in this process, and return its exit code."""
    (entry,) = entry_points(group="console_scripts", name=words[0])
    monkeypatch.setattr(sys, "argv", words)
    try:
        return entry.load()()
    except SystemExit as end:
        return end.code


def test_packages_and_commands_are_those_of_this_workspace():
    assert {name.replace("-", "_") for name in PACKAGES} == MEMBERS.keys()
    assert {words[0] for words in COMMANDS} == {"cifar-train", "cifar-space", "pytest"}


@pytest.mark.parametrize(
    "named", ["--ckpt_path last", "--weights weights/", "space --run runs/", "deploy --run runs/"]
)
def test_command_looks_for_the_files_it_names(named, tmp_path, monkeypatch, capsys):
    # In an empty folder: the options are understood, and the file is missing.
    (words,) = [words for words in COMMANDS if named in " ".join(words)]
    monkeypatch.chdir(tmp_path)
    assert call(words, monkeypatch) == 2
    assert named.split()[-1].replace("last", "runs") in "".join(capsys.readouterr())


@pytest.mark.parametrize("words", [words for words in COMMANDS if "--trainer" in " ".join(words)], ids=str)
def test_fields_of_trainings_are_understood(words, monkeypatch, capsys):
    assert call([*words, "--print_config"], monkeypatch) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    for option, value in itertools.pairwise(words):
        if option.startswith(("--trainer.", "--data.")):
            section, field = option.removeprefix("--").split(".")
            assert str(config[section][field]) == value


def test_links_lead_to_files():
    folders = ("", "docs/", "weights/", "examples/", "examples/*/")
    for document in itertools.chain(*(ROOT.glob(f"{folder}*.md") for folder in folders)):
        text = document.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^):]+)\)|(?:src|srcset|href)=\"([^\":]+)\"", text)
        for link in {(one or other).partition("#")[0] for one, other in links} - {""}:
            assert (document.parent / link).exists(), f"{document} links to {link}"
