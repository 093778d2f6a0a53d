"""The Hub through a stub: the exact calls, and no network."""

import inspect
import json
import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from cifar_models import (
    create_model,
    from_pretrained,
    load_weights,
    model_card,
    push_to_hub,
    save_weights,
)
from cifar_models.weights import hub


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "run" / "model.safetensors"
    file.parent.mkdir()
    save_weights(
        file,
        create_model("resnet9"),
        architecture="resnet9",
        recipe={"note": "```\n---\n# <script>"},
        metrics={"test_accuracy": 0.9412},
    )
    return file


@dataclass(frozen=True)
class Add:
    path_in_repo: str
    path_or_fileobj: object


@pytest.fixture
def calls(path, monkeypatch):
    """Replace huggingface_hub by a recorder; downloads give the file of `path`."""
    made = []

    class Api:
        def __init__(self, token=None):
            made.append(("HfApi", token))

        def create_repo(self, repo_id, **options):
            made.append(("create_repo", repo_id, options))
            return types.SimpleNamespace(repo_id=repo_id if "/" in repo_id else f"me/{repo_id}")

        def create_commit(self, repo_id, operations, **options):
            made.append(("create_commit", repo_id, operations, options))
            return types.SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/1")

    def hf_hub_download(repo_id, filename, **options):
        made.append(("hf_hub_download", repo_id, filename, options))
        return str(path)

    stub = types.ModuleType("huggingface_hub")
    stub.HfApi, stub.CommitOperationAdd, stub.hf_hub_download = Api, Add, hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", stub)
    return made


@pytest.fixture
def no_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


@pytest.mark.usefixtures("no_hub")
def test_files_and_folders_need_no_extra(path):
    digest = load_weights(path).sha256
    for local in (path, str(path), path.parent, str(path.parent)):
        assert from_pretrained(local).sha256 == digest
    other = path.rename(path.with_name("other.safetensors"))
    assert from_pretrained(path.parent, filename="other.safetensors").sha256 == digest
    assert from_pretrained(other).sha256 == digest


@pytest.mark.usefixtures("no_hub")
def test_without_the_extra_the_error_says_how_to_get_it(path):
    for call in (lambda: from_pretrained("user/name"), lambda: push_to_hub(path, "user/name")):
        with pytest.raises(ImportError, match=r'pip install "cifar-models\[hub\]"'):
            call()


def test_download(calls, path):
    assert from_pretrained("user/name").sha256 == load_weights(path).sha256
    from_pretrained("name", revision="v1", filename="b.safetensors", token="secret")
    assert calls == [
        ("hf_hub_download", "user/name", "model.safetensors", {"revision": None, "token": None}),
        ("hf_hub_download", "name", "b.safetensors", {"revision": "v1", "token": "secret"}),
    ]


def test_a_broken_download_is_refused(calls, path):
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match="not a safetensors file"):
        from_pretrained("user/name")


@pytest.mark.parametrize(
    "absent",
    [
        Path("user/name"),
        "model.safetensors",
        "./run",
        "../run",
        "~/run",
        f"{os.sep}run",
        "runs/a.safetensors",
    ],
)
def test_absent_paths_are_not_looked_for_on_the_hub(calls, absent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "run")
    Path("model.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        from_pretrained(absent)
    assert not calls


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "name", ["a/b/c", "user/na me", "https://huggingface.co/user/name", "user/", "user/näme"]
)
def test_impossible_repositories(calls, name):
    with pytest.raises(
        ValueError, match="repo_id_or_path must be an existing file or folder, or a Hub repository"
    ):
        from_pretrained(name)
    assert not calls


def test_a_revision_of_a_local_file_is_refused(path):
    with pytest.raises(ValueError, match="revision 'v1' applies to the Hub"):
        from_pretrained(path, revision="v1")


def test_push_is_one_commit_of_weights_and_card(calls, path):
    address = push_to_hub(path, "name", private=True, token="secret", commit_message="First")
    assert address == "https://hub.example/me/name/commit/1"
    card = model_card(load_weights(path), repo_id="me/name")
    assert calls == [
        ("HfApi", "secret"),
        ("create_repo", "name", {"private": True, "repo_type": "model", "exist_ok": True}),
        (
            "create_commit",
            "me/name",
            [Add("model.safetensors", str(path)), Add("README.md", card.encode())],
            {"commit_message": "First"},
        ),
    ]


def test_push_of_a_broken_file_calls_nothing(calls, path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated"):
        push_to_hub(path, "user/name")
    assert not calls


def test_the_calls_fit_the_real_signatures(request, path):
    real = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    functions = {
        "HfApi": real.HfApi,
        "hf_hub_download": real.hf_hub_download,
        "create_repo": real.HfApi().create_repo,
        "create_commit": real.HfApi().create_commit,
    }
    operation = real.CommitOperationAdd("model.safetensors", os.fspath(path))
    assert operation.upload_info.size == path.stat().st_size
    calls = request.getfixturevalue("calls")  # only now, since it hides the real module
    from_pretrained("user/name")
    push_to_hub(path, "user/name", token="secret")
    assert {name for name, *_ in calls} == functions.keys()
    for name, *arguments in calls:
        options = arguments.pop() if isinstance(arguments[-1], dict) else {}
        inspect.signature(functions[name]).bind(*(() if name == "HfApi" else arguments), **options)
    inspect.signature(real.HfApi).bind(token="secret")


def test_card_tells_the_facts_and_keeps_to_its_frame(path):
    card = model_card(load_weights(path), repo_id="user/name")
    assert card.startswith("---\nlibrary_name: cifar-models\n")
    assert "# name\n" in card
    assert 'from_pretrained("user/name")' in card
    block = [line[4:] for line in card.splitlines() if line.startswith("    ")]
    assert json.loads("\n".join(block))["metrics"] == {"test_accuracy": 0.9412}
    # The hostile note neither closes the front matter, nor opens a fence, a heading or HTML of its own.
    assert [line for line in card.splitlines() if line.startswith(("---", "```"))] == [
        "---",
        "---",
        "```python",
        "```",
    ]
    assert all(line.startswith("    ") for line in card.splitlines() if "<script>" in line)


def test_card_s_example_runs(path, monkeypatch, capsys):
    from PIL import Image

    monkeypatch.chdir(path.parent)
    Image.new("RGB", (40, 30)).save("photo.jpg")
    card = model_card(load_weights(path), repo_id="user/name")
    code = card.partition("```python\n")[2].partition("```")[0].replace("user/name", "model.safetensors")
    with torch.no_grad():
        exec(code, {})
    assert capsys.readouterr().out.strip() in load_weights(path).spec.classes
    assert hub.FILENAME == "model.safetensors"
