"""Uploading a bundle to the Hugging Face Hub as a Space."""

import glob
import os
import re
from dataclasses import dataclass
from typing import Any, cast

from cifar_space.publish.bundle_manifest import MANIFEST_NAME, Manifest, check_bundle
from cifar_space.publish.bundle_requirements import TORCH, check_torch

# Source: huggingface_hub's validate_repo_id, which would be asked only when the Hub is.
_REPO_ID_PART = re.compile(r"(?!.*(?:--|\.\.))\w(?:[\w.-]{0,94}\w)?", re.ASCII)

#: In an existing Space, files here that the bundle no longer has are deleted; all else of the Space stays.
_OWN_FOLDERS = ["cifar_models/*", "cifar_explain/*", "cifar_space/*"]


class DeployError(OSError):
    """The Hub cannot be reached, or refuses; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """The calls that a deployment makes, as keyword arguments of `huggingface_hub.HfApi`.

    Attributes:
        manifest: The bundle's.
        create_repo: Creates the Space, unless there is one.
        upload_folder: Uploads the bundle's files, and no other of its folder, in one commit.
    """

    manifest: Manifest
    create_repo: dict[str, Any]
    upload_folder: dict[str, Any]

    def describe(self) -> str:
        """Return the files with their sizes in bytes, and the calls, line by line."""
        lines = [f"{entry.bytes:>12,}  {name}" for name, entry in sorted(self.manifest.files.items())]
        total = sum(entry.bytes for entry in self.manifest.files.values())
        lines.append(f"{total:>12,}  bytes in {len(self.manifest.files)} files, and {MANIFEST_NAME}")
        for name, arguments in (("create_repo", self.create_repo), ("upload_folder", self.upload_folder)):
            shown = {key: value for key, value in arguments.items() if key != "allow_patterns"}
            told = ", ".join(f"{key}={value!r}" for key, value in shown.items())
            lines.append(
                f"{name}({told}{', allow_patterns=[the files above]' if shown != arguments else ''})"
            )
        return "\n".join(lines)


def plan_deployment(bundle: str | os.PathLike[str], repo_id: str, *, private: bool = False) -> Plan:
    """Return the calls that upload a bundle, after checking every file of it. Contacts no host.

    Args:
        bundle: What `cifar_space.publish.bundle.build_bundle` wrote. Files that it did not write are not uploaded.
        repo_id: The Space, "user/name" or "organization/name".
        private: Whether only the owner may see it.

    Raises:
        FileNotFoundError: If it is no bundle, or a file is missing.
        ValueError: If a file was changed, or `repo_id` is not possible.
    """
    _check_repo_id(repo_id)
    manifest = check_bundle(bundle)
    check_torch(manifest.torch)
    space = {"repo_id": repo_id, "repo_type": "space"}
    create: dict[str, Any] = {**space, "space_sdk": "gradio", "exist_ok": True}
    if private:
        create["private"] = True
    if TORCH[manifest.torch].hardware:
        create["space_hardware"] = TORCH[manifest.torch].hardware
    upload = {
        **space,
        "folder_path": os.fspath(bundle),
        "commit_message": "Deploy with cifar-space",
        # Exactly the bundle: no .env, token or cache that lies beside its files.
        "allow_patterns": [glob.escape(name) for name in [*sorted(manifest.files), MANIFEST_NAME]],
        "delete_patterns": list(_OWN_FOLDERS),
    }
    return Plan(manifest, create, upload)


def find_token() -> str:
    """Return the Hub token in HF_TOKEN, or that stored by `hf auth login`.

    Raises:
        DeployError: If there is none.
    """
    import huggingface_hub

    token = huggingface_hub.get_token()
    if not token:
        raise DeployError(
            "there is no Hub token: run `hf auth login`, or set HF_TOKEN to a token with write access"
        )
    return token


def deploy(plan: Plan, *, endpoint: str | None = None, token: str | None = None) -> str:
    """Create the Space if there is none, upload the bundle, and return the Space's address.

    Args:
        plan: From `plan_deployment`.
        endpoint: The Hub's address; None for the usual one, or that in the environment's HF_ENDPOINT.
        token: Hub token with write access; None for the one in HF_TOKEN or stored by `hf auth login`.

    Raises:
        DeployError: If there is no token, the Hub cannot be reached or refuses, or a private Space is asked for and
            there is a public one of that name.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    token = token or find_token()
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token)
    space = plan.create_repo["repo_id"]
    # The client's own base of all its errors: huggingface_hub has changed its HTTP library more than once.
    transport_error = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        address = api.create_repo(**plan.create_repo)
        if plan.create_repo.get("private") and not api.repo_info(space, repo_type="space").private:
            raise DeployError(
                f"the Space {space} exists and is public; make it private in its settings, or choose another name"
            )
        api.upload_folder(**plan.upload_folder)
    except HfHubHTTPError as error:
        raise DeployError(_refusal(space, error.response.status_code, error.server_message)) from error
    except OfflineModeIsEnabled as error:
        raise DeployError("HF_HUB_OFFLINE is set, so the Hub is not contacted; unset it to deploy") from error
    except RuntimeError as error:  # how the client ends when a large file does not get through
        raise DeployError(f"uploading {space} failed; try again: {error}") from error
    except transport_error as error:
        raise DeployError(f"cannot reach the Hub at {api.endpoint}: {error}") from error
    return str(address)


def _check_repo_id(repo_id: str) -> None:
    parts = repo_id.split("/")
    if (
        len(parts) != 2
        or not all(_REPO_ID_PART.fullmatch(part) for part in parts)
        or repo_id.endswith(".git")
    ):
        raise ValueError(
            "repo_id must be USER/NAME, each of letters, digits, '-', '_' and '.', with '-' and '.' alone and inside; "
            f"got {repo_id!r}"
        )


def _refusal(space: str, status: int, said: str | None) -> str:
    user = space.partition("/")[0]
    advice = {
        401: "the token is not valid, or has expired; run `hf auth login` again",
        402: "a Space on CPU Basic needs a PRO subscription; with --torch zerogpu a free account can have one",
        403: f"the token has no right to write to {space}: it needs the role 'write', and access to {user}",
        404: f"there is no {user} or {space} that this token can see",
        429: "too many requests; try again later",
    }.get(status, "try again later" if status >= 500 else "nothing was deployed")
    answer = f" ({said.strip()})" if said and said.strip() else ""
    return f"the Hub refused {space} with status {status}{answer}: {advice}"
