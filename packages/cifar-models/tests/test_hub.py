"""The Hub without a network: local paths, and the exact calls of huggingface_hub."""

import inspect
import sys
import types
from pathlib import Path

import pytest
import torch
from PIL import Image

from cifar_models import create_model, from_pretrained, load_weights, model_card, push_to_hub, save_weights


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "run" / "model.safetensors"
    file.parent.mkdir()
    save_weights(file, create_model("resnet9"), architecture="resnet9", metrics={"test_accuracy": 0.9412})
    return file


@pytest.fixture
def calls(path, monkeypatch):
    """Record the calls, checked against the real signatures; downloads give the file of `path`."""
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    made = []

    def record(owner, name, result):
        signature = inspect.signature(getattr(owner, name))

        def call(*arguments, **options):
            signature.bind(*arguments, **options)
            made.append((name, arguments, options))
            return result

        monkeypatch.setattr(owner, name, call)

    api = hub.HfApi()
    record(api, "create_repo", types.SimpleNamespace(repo_id="me/name"))
    record(api, "create_commit", types.SimpleNamespace(commit_url="https://hub.example/1"))
    record(hub, "HfApi", api)
    record(hub, "hf_hub_download", str(path))
    return made


@pytest.fixture
def no_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


@pytest.mark.usefixtures("no_hub")
def test_local_files_and_folders_need_no_extra(path):
    digest = load_weights(path).sha256
    for local in (path, str(path), path.parent, str(path.parent)):
        assert from_pretrained(local).sha256 == digest
    other = path.rename(path.with_name("other.safetensors"))
    assert from_pretrained(path.parent, filename="other.safetensors").sha256 == digest
    assert from_pretrained(other).sha256 == digest


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    "call",
    [
        lambda _: from_pretrained("user/name"),
        lambda path: push_to_hub(path, "user/name"),
        lambda path: model_card(load_weights(path)),
    ],
)
def test_a_missing_extra_is_named_in_the_error(path, call):
    with pytest.raises(ImportError, match=r'pip install "cifar-models\[hub\]"'):
        call(path)


def test_download_passes_repository_and_revision(calls, path):
    assert from_pretrained("user/name").sha256 == load_weights(path).sha256
    from_pretrained("name", revision="v1", filename="b.safetensors", token="secret")
    assert calls == [
        ("hf_hub_download", ("user/name", "model.safetensors"), {"revision": None, "token": None}),
        ("hf_hub_download", ("name", "b.safetensors"), {"revision": "v1", "token": "secret"}),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(Path("user/name"), "other.safetensors", "runs/a.safetensors", "./run", "~/run", "/absent"),
        *("a/b/c", "user/na me", "https://huggingface.co/user/name", "user/", "user/näme"),
    ],
)
def test_missing_paths_and_impossible_repositories_are_not_looked_up_on_the_hub(
    calls, path, name, monkeypatch
):
    monkeypatch.chdir(path.parent)
    with pytest.raises(FileNotFoundError, match="neither a file or folder nor a Hub repository"):
        from_pretrained(name)
    assert not calls


def test_push_is_one_commit_of_weights_and_card(calls, path):
    address = push_to_hub(path, "name", private=True, token="secret", commit_message="First")
    assert address == "https://hub.example/1"
    (login, create, (name, (repo_id, operations), options)) = calls
    assert login == ("HfApi", (), {"token": "secret"})
    assert create == ("create_repo", ("name",), {"private": True, "repo_type": "model", "exist_ok": True})
    assert (name, repo_id, options) == ("create_commit", "me/name", {"commit_message": "First"})
    weights, readme = operations
    assert (weights.path_in_repo, weights.path_or_fileobj) == ("model.safetensors", str(path))
    card = model_card(load_weights(path), repo_id="me/name", parameters=6_573_130)
    assert (readme.path_in_repo, readme.path_or_fileobj) == ("README.md", card.encode())


def test_broken_files_are_neither_taken_nor_pushed(calls, path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cannot load"):
        push_to_hub(path, "user/name")
    assert not calls
    with pytest.raises(ValueError, match="cannot load"):
        from_pretrained("user/name")


def test_wrong_local_places_are_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="revision 'v1' applies to the Hub"):
        from_pretrained(path, revision="v1")


@pytest.mark.usefixtures("calls")
def test_the_example_on_the_card_runs(path, monkeypatch, capsys):
    monkeypatch.chdir(path.parent)
    Image.new("RGB", (40, 30)).save("photo.jpg")
    for card in (model_card(load_weights(path), repo_id="user/name"), model_card(load_weights(path))):
        with torch.no_grad():
            exec(card.partition("```python\n")[2].partition("```")[0], {})
        assert capsys.readouterr().out.strip() in load_weights(path).spec.classes
