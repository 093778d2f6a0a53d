"""The Hub without a network: local paths, and the exact calls of huggingface_hub."""

import sys
from pathlib import Path
from unittest.mock import ANY, call, create_autospec

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
def hub(path, monkeypatch):
    """Records the calls, checked against the real signatures; downloads give the file of `path`."""
    module = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    api = create_autospec(module.HfApi, instance=True)
    api.create_repo.return_value.repo_id = "me/name"
    api.create_commit.return_value.commit_url = "https://hub.example/1"
    monkeypatch.setattr(module, "HfApi", create_autospec(module.HfApi, return_value=api))
    download = create_autospec(module.hf_hub_download, return_value=str(path))
    monkeypatch.setattr(module, "hf_hub_download", download)
    return module


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
    "use",
    [
        lambda _: from_pretrained("user/name"),
        lambda path: push_to_hub(path, "user/name"),
        lambda path: model_card(load_weights(path)),
    ],
)
def test_a_missing_extra_is_named_in_the_error(path, use):
    with pytest.raises(ImportError, match=r'pip install "cifar-models\[hub\]"'):
        use(path)


def test_download_passes_repository_and_revision(hub, path):
    assert from_pretrained("user/name").sha256 == load_weights(path).sha256
    from_pretrained("name", revision="v1", filename="b.safetensors", token="secret")
    assert hub.hf_hub_download.call_args_list == [
        call("user/name", "model.safetensors", revision=None, token=None),
        call("name", "b.safetensors", revision="v1", token="secret"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(Path("user/name"), "other.safetensors", "runs/a.safetensors", "./run", "~/run", "/absent"),
        *("a/b/c", "user/na me", "https://huggingface.co/user/name", "user/", "user/näme"),
    ],
)
def test_missing_paths_and_impossible_repositories_are_not_looked_up(hub, path, name, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(FileNotFoundError, match="neither a file or folder nor a Hub repository"):
        from_pretrained(name)
    hub.hf_hub_download.assert_not_called()


def test_push_is_one_commit_of_weights_and_card(hub, path):
    address = push_to_hub(path, "name", private=True, token="secret", commit_message="First")
    assert address == "https://hub.example/1"
    hub.HfApi.assert_called_once_with(token="secret")
    api = hub.HfApi()
    api.create_repo.assert_called_once_with("name", private=True, repo_type="model", exist_ok=True)
    api.create_commit.assert_called_once_with("me/name", ANY, commit_message="First")
    weights, readme = api.create_commit.call_args.args[1]
    assert (weights.path_in_repo, weights.path_or_fileobj) == ("model.safetensors", str(path))
    card = model_card(load_weights(path), repo_id="me/name", parameters=6_573_130)
    assert (readme.path_in_repo, readme.path_or_fileobj) == ("README.md", card.encode())


def test_broken_files_are_neither_taken_nor_pushed(hub, path):
    path.write_bytes(path.read_bytes()[:-1])
    for use in (push_to_hub, lambda _, repo_id: from_pretrained(repo_id)):
        with pytest.raises(ValueError, match="cannot load"):
            use(path, "user/name")
    hub.HfApi.assert_not_called()


def test_wrong_local_places_are_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="revision 'v1' applies to the Hub"):
        from_pretrained(path, revision="v1")


@pytest.mark.usefixtures("hub")
def test_the_example_on_the_card_runs(path, monkeypatch, capsys):
    monkeypatch.chdir(path.parent)
    Image.new("RGB", (40, 30)).save("photo.jpg")
    for card in (model_card(load_weights(path), repo_id="user/name"), model_card(load_weights(path))):
        with torch.no_grad():
            exec(card.partition("```python\n")[2].partition("```")[0], {})
        assert capsys.readouterr().out.strip() in load_weights(path).spec.classes
