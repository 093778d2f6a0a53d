"""Weights files from and to the Hugging Face Hub. Needs the extra `hub`, local files and folders apart."""

import json
import os
import re
from pathlib import Path
from typing import Any

from cifar_models.weights.header import WeightsHeader
from cifar_models.weights.io import Weights, load_weights

FILENAME = "model.safetensors"

# Source: huggingface_hub.utils.validate_repo_id, which checks the finer points.
_REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)


def from_pretrained(
    repo_id_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    filename: str = FILENAME,
    token: str | bool | None = None,
) -> Weights:
    """Return a model from a local file, a local folder or the Hub, as `load_weights` does.

    What exists locally comes first.

    Args:
        repo_id_or_path: A weights file, a folder that holds one, or a Hub repository such as "user/name".
        revision: Branch, tag or commit on the Hub; None for the newest.
        filename: Name of the weights file within the folder or repository.
        token: Hub token; None for the one stored by `hf auth login`, False for none.

    Raises:
        FileNotFoundError: If this is a path, and nothing is there.
        ValueError: If it is neither a path nor a possible repository, the file is no valid weights file, or a
            revision is asked of something local.
        ImportError: If the Hub is needed and `huggingface_hub` is not installed.
        OSError: If the Hub cannot be reached or has no such repository, revision or file.
    """
    path = Path(repo_id_or_path)
    if path.exists():
        if revision is not None:
            raise ValueError(f"revision {revision!r} applies to the Hub, but {os.fspath(path)!r} is local")
        return load_weights(path / filename if path.is_dir() else path)
    name = os.fspath(repo_id_or_path)
    if (
        not isinstance(repo_id_or_path, str)
        or path.suffix == ".safetensors"
        or name.startswith((".", "~", os.sep))
    ):
        raise FileNotFoundError(f"there is no file or folder {name!r}")
    if not _REPO_ID.fullmatch(name):
        raise ValueError(
            "repo_id_or_path must be an existing file or folder, or a Hub repository such as 'user/name', "
            f"got {name!r}"
        )
    hub = _import_hub()
    return load_weights(hub.hf_hub_download(name, filename, revision=revision, token=token))


def push_to_hub(
    path: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    token: str | bool | None = None,
    commit_message: str = "Upload model",
) -> str:
    """Upload a weights file and a model card in one commit, and return the commit's address.

    The repository is created if there is none. `model.safetensors` and `README.md` are replaced.

    Args:
        path: A file that `save_weights` wrote; it is loaded first, so that no broken file is published.
        repo_id: Repository such as "user/name".
        private: Whether a newly created repository is private; an existing one stays as it is.
        token: Hub token with write access; None for the one stored by `hf auth login`.
        commit_message: First line of the commit's message.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a valid weights file.
        ImportError: If `huggingface_hub` is not installed.
        OSError: If the Hub cannot be reached or refuses.
    """
    weights = load_weights(path)
    hub = _import_hub()
    api = hub.HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, repo_type="model", exist_ok=True).repo_id
    card = model_card(weights, repo_id=repo_id)
    operations = [
        hub.CommitOperationAdd(FILENAME, os.fspath(path)),
        hub.CommitOperationAdd("README.md", card.encode()),
    ]
    return str(api.create_commit(repo_id, operations, commit_message=commit_message).commit_url)


def model_card(header: WeightsHeader, *, repo_id: str) -> str:
    """Return a short README in Markdown, with the front matter that the Hub reads.

    Args:
        header: What the weights file says about itself.
        repo_id: The repository in which the card will stand.

    >>> from cifar_models import CIFAR10
    >>> header = WeightsHeader("resnet9", {}, CIFAR10, {}, {"test_accuracy": 0.94}, "float16", 1)
    >>> "test_accuracy" in model_card(header, repo_id="user/name")
    True
    """
    facts = {
        "architecture": header.architecture,
        "arguments": header.arguments,
        "input": header.spec.to_dict(),
        "metrics": header.metrics,
        "recipe": header.recipe,
        "stored as": header.dtype,
    }
    # Indented, since a string among the facts could close a fence; JSON keeps each string on one line.
    block = "\n".join("    " + line for line in json.dumps(facts, indent=2).splitlines())
    return f"""---
library_name: cifar-models
pipeline_tag: image-classification
tags:
- cifar-10
- pytorch
---

# {repo_id.rpartition("/")[2]}

An image classifier for {header.spec.size}x{header.spec.size} images and {len(header.spec.classes)} classes.

```python
from PIL import Image
from cifar_models import from_pretrained  # pip install "cifar-models[hub]"

weights = from_pretrained("{repo_id}")
images = weights.spec.preprocess_batch([Image.open("photo.jpg")])
print(weights.spec.classes[weights.model(images).argmax()])
```

What the weights file says about itself:

{block}
"""


def _import_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError('the Hugging Face Hub needs an extra: pip install "cifar-models[hub]"') from error
    return huggingface_hub
