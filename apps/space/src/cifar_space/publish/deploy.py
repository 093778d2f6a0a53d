"""Uploading a bundle to the Hugging Face Hub as a Space."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import huggingface_hub
import huggingface_hub.utils as hub
from huggingface_hub.errors import HfHubHTTPError

from cifar_space.artifacts.test_images import DATASET, MOUNT
from cifar_space.publish.bundle import TOP_NAMES, WEIGHTS_NAME

# Of a bundle's own names: neither what Python leaves there nor what a person hides there.
_IGNORED = ["__pycache__/*", "*/__pycache__/*", ".*", "*/.*"]

# Of the Hub's client: the base of its own errors is that of its HTTP library, which has changed more than once.
_FAILURES = (cast(type[Exception], HfHubHTTPError.__bases__[0]), OSError, RuntimeError)


class DeployError(OSError):
    """A deployment that failed; the message holds the Hub's own words."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the files to upload, and the calls of `huggingface_hub.HfApi` with their keyword arguments."""

    files: dict[str, int]
    create_repo: dict[str, Any]
    upload_folder: dict[str, Any]

    def describe(self) -> str:
        """Returns the files with their sizes, and the calls, line by line."""
        lines = [f"{size:>12,}  {name}" for name, size in self.files.items()]
        lines.append(f"{sum(self.files.values()):>12,}  bytes in {len(self.files)} files")
        for name, arguments in (("create_repo", self.create_repo), ("upload_folder", self.upload_folder)):
            lines.append(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})")
        return "\n".join(lines)


def plan_deployment(bundle: str | os.PathLike[str], repo_id: str, *, private: bool = False) -> Plan:
    """Returns the calls that upload a bundle, without other files in its folder. Contacts no host.

    Raises:
        FileNotFoundError: If it is no bundle.
        ValueError: If `repo_id` is not possible.
    """
    if repo_id.count("/") != 1:
        raise ValueError(f"repo_id must be USER/NAME, got {repo_id!r}")
    hub.validate_repo_id(repo_id)  # type: ignore[attr-defined]
    folder = Path(bundle)
    if not (folder / WEIGHTS_NAME).is_file() or not (folder / "README.md").is_file():
        raise FileNotFoundError(f"{folder} is no bundle; `cifar-space build --out {folder}` writes one")
    packages = [f"{name}/*" for name in TOP_NAMES if "." not in name]
    texts = [name for name in TOP_NAMES if "." in name]
    patterns: dict[str, Any] = {"allow_patterns": [*texts, *packages], "ignore_patterns": _IGNORED}
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    uploaded = sorted(hub.filter_repo_objects(names, **patterns))  # type: ignore[attr-defined]
    space = {"repo_id": repo_id, "repo_type": "space"}
    create: dict[str, Any] = {**space, "space_sdk": "gradio", "exist_ok": True}
    create |= {"private": True} if private else {}
    front_matter = huggingface_hub.RepoCard.load(folder / "README.md", ignore_metadata_errors=True).data
    if hardware := front_matter.get("suggested_hardware"):
        create["space_hardware"] = hardware
    gallery = {path.name for path in (folder / WEIGHTS_NAME).with_name("gallery").glob("*")}
    if DATASET in front_matter.get("datasets", []) and gallery == {"gallery.npz"}:
        # The test images may not be uploaded; the Space reads or fetches them where they are.
        mount = {"source": DATASET, "mount_path": os.fspath(MOUNT), "read_only": True}
        create["space_volumes"] = [huggingface_hub.Volume(type="dataset", **mount)]
        create["space_variables"] = [{"key": "CIFAR_SPACE_FETCH_IMAGES", "value": "1"}]
    upload = {
        **space,
        "folder_path": os.fspath(bundle),
        "commit_message": "Deploy with cifar-space",
        **patterns,
        # In an existing Space, files here that the bundle no longer has are deleted; all else of the Space stays.
        "delete_patterns": packages,
    }
    return Plan({name: (folder / name).stat().st_size for name in uploaded}, create, upload)


def connect() -> huggingface_hub.HfApi:
    """Returns a client with the token in HF_TOKEN or of `hf auth login`; raises `DeployError` if there is none."""
    if token := huggingface_hub.get_token():
        return huggingface_hub.HfApi(token=token)
    raise DeployError("there is no Hub token: run `hf auth login`, or set HF_TOKEN to one with write access")


def choose_machine(repo_id: str) -> str:
    """Returns the machine that the account may have: "cpu", or "zerogpu" if it is free; raises `DeployError`."""
    api = connect()
    try:
        account = api.whoami()
    except _FAILURES as error:
        raise DeployError(f"asking {api.endpoint} for the account failed: {error}") from error
    own = account["type"] == "user" and repo_id.split("/")[0].lower() == account["name"].lower()
    return "zerogpu" if own and not account.get("isPro") else "cpu"


def deploy(plan: Plan) -> str:
    """Creates the Space if there is none, uploads the bundle, and returns the Space's address.

    Raises:
        DeployError: If there is no token, the Hub cannot be reached or rejects the deployment, or a private Space
            is asked for and there is a public one of that name.
    """
    api, space = connect(), plan.create_repo["repo_id"]
    try:
        address = api.create_repo(**plan.create_repo)
        public = plan.create_repo.get("private") and not api.repo_info(space, repo_type="space").private
        if not public:
            api.upload_folder(**plan.upload_folder)
    except _FAILURES as error:
        raise DeployError(f"deploying {space} to {api.endpoint} failed: {error}") from error
    if public:
        raise DeployError(
            f"the Space {space} exists and is public; make it private in its settings, or choose another name"
        )
    return str(address)
