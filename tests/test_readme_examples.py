"""The README's examples and commands: each package's lines run, by themselves, and every command is understood."""

import ast
import doctest
import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEMBERS = {"cifar_models", "cifar_data", "cifar_explain", "cifar_train", "cifar_space"}
BLOCKS = dict(re.findall(r"^\*\*\[(cifar-\w+)\].*?```python\n(.*?)```", README, re.MULTILINE | re.DOTALL))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def source(block):
    return "".join(example.source for example in doctest.DocTestParser().get_examples(block))


def test_every_package_has_an_example():
    assert {name.replace("-", "_") for name in BLOCKS} == MEMBERS


@pytest.mark.parametrize("name", BLOCKS)
def test_an_example_runs_as_printed(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(tmp_path))
    told = []
    test = doctest.DocTestParser().get_doctest(BLOCKS[name], {}, name, "README.md", 0)
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=told.append)
    assert result.attempted > 2
    assert result.failed == 0, "".join(told)


@pytest.mark.parametrize("name", BLOCKS)
def test_an_example_needs_one_package(name):
    nodes = [node for node in ast.walk(ast.parse(source(BLOCKS[name]))) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in nodes} & MEMBERS == {name.replace("-", "_")}


def commands():
    """The README's command lines, as words after `uv run`."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line.partition("uv run ")[2]) for line in lines if line]


def test_all_commands_are_of_this_workspace():
    assert {words[0] for words in commands()} == {"cifar-train", "cifar-space", "pytest"}


@pytest.mark.parametrize(
    "words", [words[1:] for words in commands() if words[0] == "cifar-space"], ids=" ".join
)
def test_the_apps_commands_are_understood(words):
    from cifar_space.arguments import make_build_parser, make_deploy_parser, make_parser

    parsers = {"build": make_build_parser, "deploy": make_deploy_parser}
    if words and words[0] in parsers:
        parsers[words[0]]().parse_args(words[1:])
    else:
        make_parser().parse_args(words)


#: Of commands that train; the others look at a run, which is not there.
TRAINING = [words[1:] for words in commands() if words[0] == "cifar-train" and "--help" not in words]
TRAINING = [words for words in TRAINING if not {"report", "test", "lr-find"} & set(words)]


@pytest.mark.parametrize("words", [words for words in TRAINING if "--ckpt_path" not in words], ids=" ".join)
def test_the_trainings_fields_are_understood(words, capsys):
    from cifar_train.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main([*words, "--print_config"])
    assert ended.value.code == 0
    trainer = yaml.safe_load(capsys.readouterr().out)["trainer"]
    for option, value in itertools.pairwise(words):
        if option.startswith("--trainer."):
            assert str(trainer[option.removeprefix("--trainer.")]) == value


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^):]+)\)|(?:src|srcset)=\"([^\"]+)\"", README)
    found = {(one or other).partition("#")[0] for one, other in links}
    assert len(found) > 20
    assert [link for link in sorted(found) if not (ROOT / link).exists()] == []
