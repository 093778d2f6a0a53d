"""Weights files from and to the Hugging Face Hub. Needs the extra `hub`, except for local files and folders."""

import os
import re
from pathlib import Path

from cifar_models.weights.card import import_hub, model_card
from cifar_models.weights.io import Weights, load_weights

FILENAME = "model.safetensors"

# Source: huggingface_hub.utils.validate_repo_id, which checks the finer points.
_REPO_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


def from_pretrained(
    repo_id_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    filename: str = FILENAME,
    token: str | bool | None = None,
) -> Weights:
    """Loads a weights file, as `load_weights` does, from a local file or folder if it exists, else from the Hub.

    Args:
        repo_id_or_path: A weights file, a folder that holds one, or a Hub repository such as "user/name". An OSError
            says that there is none, or that the Hub cannot be reached.
        revision: Branch, tag or commit on the Hub; None for the newest.
        filename: Name of the weights file within the folder or repository.
        token: Hub token; None for the one stored by `hf auth login`, False for none.
    """
    path, name = Path(repo_id_or_path), os.fspath(repo_id_or_path)
    if path.exists():
        if revision is not None:
            raise ValueError(f"revision {revision!r} applies to the Hub, but {name!r} is local")
        return load_weights(path / filename if path.is_dir() else path)
    if isinstance(repo_id_or_path, Path) or path.suffix == ".safetensors" or not _REPO_ID.fullmatch(name):
        raise FileNotFoundError(f"{name!r} is neither a file or folder nor a Hub repository like 'user/name'")
    return load_weights(import_hub().hf_hub_download(name, filename, revision=revision, token=token))


def push_to_hub(
    path: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    token: str | bool | None = None,
    commit_message: str = "Upload model",
) -> str:
    """Uploads a weights file and a short model card in one commit, and returns the commit's address.

    The file, of `save_weights`, is loaded first, so that no broken one is published. The repository, such as
    "user/name", is created if needed, `private` or not; `model.safetensors` and `README.md` in it are replaced.
    The token needs write access; None for the one stored by `hf auth login`.
    """
    weights = load_weights(path)
    hub = import_hub()
    api = hub.HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, repo_type="model", exist_ok=True).repo_id
    parameters = sum(parameter.numel() for parameter in weights.model.parameters())
    card = model_card(weights, repo_id=repo_id, parameters=parameters)
    files = {FILENAME: os.fspath(path), "README.md": card.encode()}
    operations = [hub.CommitOperationAdd(name, content) for name, content in files.items()]
    return str(api.create_commit(repo_id, operations, commit_message=commit_message).commit_url)
