"""Deployments to a server on this machine that answers as the Hub does."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import huggingface_hub.constants
import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from cifar_space import of_weights
from cifar_space.publish.bundle import build_bundle
from cifar_space.publish.bundle_manifest import MANIFEST_NAME
from cifar_space.publish.deploy import DeployError, deploy, plan_deployment


@dataclass
class Hub:
    """What the stand-in has, and what it was asked.

    Attributes:
        url: Where it listens.
        token: The only one that it takes.
        spaces: Files of each Space by its id.
        private: The ids of private Spaces.
        created: The document of each call that created a Space.
        asked: Method and path of each request.
        refusals: Status by the beginning of the path, answered instead.
        stored: What was uploaded as a large file, by SHA-256.
        large_bytes: From this size on, a file is a large one.
    """

    url: str = ""
    token: str = "hf_secret"
    spaces: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    created: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    large_bytes: int = 10**12


@contextmanager
def hub_stand_in() -> Iterator[Hub]:
    """Serve a stand-in until the end of the block."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{method} {path}")
        status, document = self._respond(method, path, body)
        content = json.dumps(document).encode()
        self.send_response(status)
        if status >= 400:
            self.send_header("X-Error-Message", document["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _respond(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        hub = self.hub
        for beginning, status in hub.refusals.items():
            if path.startswith(beginning):
                return status, {"error": f"said with {status}"}
        if path.startswith("/stored/"):
            hub.stored[path.rpartition("/")[2]] = body
            return 200, {}
        if self.headers.get("Authorization") != f"Bearer {hub.token}":
            return 401, {"error": "Invalid username or password."}
        if (method, path) == ("POST", "/api/repos/create"):
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        space, _, action = path.removeprefix("/api/spaces/").partition("/tree/")
        if path.endswith("/info/lfs/objects/batch"):
            return 200, self._batch(json.loads(body))
        space, _, action = space.partition("/preupload/") if not action else (space, "", "tree")
        space, _, commit = space.partition("/commit/")
        if space not in hub.spaces:
            return 404, {"error": f"no {space} for {method} {path}"}
        if action == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in hub.spaces[space].items()
            ]
            return 200, entries
        if commit:
            return 200, self._commit(space, body)
        if action:
            return 200, {"files": [self._mode(one) for one in json.loads(body)["files"]]}
        return 200, {"id": space, "private": space in hub.private, "siblings": []}

    def _create(self, document: dict[str, Any]) -> tuple[int, Any]:
        space = f"{document['organization']}/{document['name']}"
        self.hub.created.append(document)
        url = f"{self.hub.url}/spaces/{space}"
        if space in self.hub.spaces:
            return 409, {"error": "You already created this Space", "url": url}
        self.hub.spaces[space] = {".gitattributes": b"", "README.md": b"the Hub's own"}
        if document.get("private") or document.get("visibility") == "private":
            self.hub.private.add(space)
        return 200, {"url": url, "name": space, "id": "1"}

    def _mode(self, file: dict[str, Any]) -> dict[str, Any]:
        mode = "lfs" if file["size"] >= self.hub.large_bytes else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}

    def _batch(self, document: dict[str, Any]) -> dict[str, Any]:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/stored/{one['oid']}", "header": {}}}}
            for one in document["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def _commit(self, space: str, body: bytes) -> dict[str, Any]:
        files = self.hub.spaces[space]
        for line in body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif one["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif one["key"] == "deletedFile":
                del files[value["path"]]
        return {
            "success": True,
            "commitOid": "0" * 40,
            "commitUrl": f"{self.hub.url}/spaces/{space}/commit/0",
        }


SPACE = "user/name"
STRAY = {
    ".env": "HF_TOKEN=hf_secret",
    ".git/config": "[core]",
    ".cache/huggingface/token": "hf_secret",
    "token.txt": "hf_secret",
    "cifar_space/__pycache__/cli.cpython-312.pyc": "x",
    "cifar_space/assets/gallery/private.png": "x",
    "notes.txt": "x",
}


@pytest.fixture(scope="module")
def built(weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "bundle"
    build_bundle(of_weights(weights_file), folder)
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_stand_in() as hub:
        yield hub


def files_of(bundle: Path) -> dict[str, bytes]:
    names = [*plan_deployment(bundle, SPACE).manifest.files, MANIFEST_NAME]
    return {name: (bundle / name).read_bytes() for name in names}


def test_uploads_the_bundle_to_a_new_space(built: Path, hub: Hub) -> None:
    address = deploy(plan_deployment(built, SPACE), endpoint=hub.url, token=hub.token)
    assert address == f"{hub.url}/spaces/{SPACE}"
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("user", "name")
    assert (created["type"], created["sdk"]) == ("space", "gradio")
    assert not {"visibility", "private", "hardware"} & set(created)
    assert hub.spaces[SPACE] == {".gitattributes": b"", **files_of(built)}


@pytest.mark.parametrize("xet", [True, False])
def test_uploads_nothing_stray(
    weights_file: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, xet: bool
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", not xet)
    bundle = tmp_path / "bundle"
    build_bundle(of_weights(weights_file), bundle)
    for name, content in STRAY.items():
        path = bundle / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    deploy(plan_deployment(bundle, SPACE), endpoint=hub.url, token=hub.token)
    assert not set(STRAY) & set(hub.spaces[SPACE])
    assert hub.spaces[SPACE] == {".gitattributes": b"", **files_of(bundle)}


# Of huggingface_hub's own call without Xet.
@pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")
def test_large_files_go_the_way_of_large_files(
    built: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without Xet, whose own servers have no stand-in.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    hub.large_bytes = max(len(content) for content in files_of(built).values())
    hub.refusals["/stored/"] = 403
    with pytest.raises(DeployError, match="uploading user/name failed"):
        deploy(plan_deployment(built, SPACE), endpoint=hub.url, token=hub.token)
    del hub.refusals["/stored/"]
    deploy(plan_deployment(built, SPACE), endpoint=hub.url, token=hub.token)
    assert len(hub.stored) == 1
    assert hub.spaces[SPACE] == {".gitattributes": b"", **files_of(built)}


def test_a_second_deployment_replaces_the_first_and_leaves_the_rest(built: Path, hub: Hub) -> None:
    hub.spaces[SPACE] = {
        "LICENSE": b"the owner's",
        "cifar_space/old.py": b"left over",
        "cifar_space/assets/gallery/gallery.npz": b"of other weights",
        "app.py": b"before",
    }
    deploy(plan_deployment(built, SPACE), endpoint=hub.url, token=hub.token)
    assert hub.spaces[SPACE] == {"LICENSE": b"the owner's", **files_of(built)}


def test_private_spaces(built: Path, hub: Hub) -> None:
    plan = plan_deployment(built, SPACE, private=True)
    deploy(plan, endpoint=hub.url, token=hub.token)
    assert SPACE in hub.private
    deploy(plan, endpoint=hub.url, token=hub.token)  # it exists and is private
    hub.private.clear()
    hub.spaces[SPACE] = {}
    with pytest.raises(DeployError, match="user/name exists and is public"):
        deploy(plan, endpoint=hub.url, token=hub.token)
    assert hub.spaces[SPACE] == {}


def test_zerogpu_asks_for_its_hardware(weights_file: Path, tmp_path: Path, hub: Hub) -> None:
    build_bundle(of_weights(weights_file), tmp_path / "bundle", torch="zerogpu")
    deploy(plan_deployment(tmp_path / "bundle", SPACE), endpoint=hub.url, token=hub.token)
    assert hub.created[0]["hardware"] == "zero-a10g"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/api/repos/create", 401, "the token is not valid"),
        ("/api/repos/create", 402, "--torch zerogpu"),
        ("/api/repos/create", 404, "there is no user or user/name"),
        ("/api/repos/create", 429, "too many requests"),
        ("/api/repos/create", 500, "try again later"),
        ("/api/repos/create", 418, "nothing was deployed"),
        ("/api/spaces/user/name/preupload", 403, "no right to write to user/name"),
        ("/api/spaces/user/name/commit", 403, "no right to write to user/name"),
        ("/api/spaces/user/name/commit", 404, "there is no user or user/name"),
    ],
)
def test_refusals_say_what_to_do(built: Path, hub: Hub, path: str, status: int, told: str) -> None:
    hub.refusals[path] = status
    with pytest.raises(DeployError, match=told) as refused:
        deploy(plan_deployment(built, SPACE), endpoint=hub.url, token=hub.token)
    assert f"status {status}" in str(refused.value)
    assert f"said with {status}" in str(refused.value)
    assert hub.token not in str(refused.value)


def test_no_right_to_create(built: Path, hub: Hub) -> None:
    hub.refusals["/api/repos/create"] = 403
    with pytest.raises(DeployError, match="user/name"):
        deploy(plan_deployment(built, SPACE), endpoint=hub.url, token=hub.token)


def test_a_wrong_token(built: Path, hub: Hub) -> None:
    with pytest.raises(DeployError, match="hf auth login") as refused:
        deploy(plan_deployment(built, SPACE), endpoint=hub.url, token="hf_wrong")
    assert "hf_wrong" not in str(refused.value)
    assert hub.spaces == {}


def test_no_token(built: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(DeployError, match="there is no Hub token"):
        deploy(plan_deployment(built, SPACE), endpoint=hub.url)
    assert hub.asked == []


def test_no_network(built: Path, hub: Hub) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        with pytest.raises(DeployError, match=f"cannot reach the Hub at http://127.0.0.1:{port}"):
            deploy(plan_deployment(built, SPACE), endpoint=f"http://127.0.0.1:{port}", token="hf_x")


def test_offline(built: Path, hub: Hub) -> None:
    done = command(hub, "--bundle", str(built), HF_HUB_OFFLINE="1")
    assert done.returncode == 2
    assert (
        done.stderr == "cifar-space: HF_HUB_OFFLINE is set, so the Hub is not contacted; unset it to deploy\n"
    )
    assert hub.asked == []


def command(hub: Hub, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from cifar_space.cli import main; raise SystemExit(main())",
            "deploy",
            "--repo-id",
            SPACE,
            *args,
        ],
        env={**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_uploads_with_the_environments_token(built: Path, hub: Hub) -> None:
    done = command(hub, "--bundle", str(built))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.url}/spaces/{SPACE}"
    assert hub.spaces[SPACE] == {".gitattributes": b"", **files_of(built)}


def test_a_dry_run_contacts_nobody_and_tells_all(built: Path, hub: Hub) -> None:
    done = command(hub, "--bundle", str(built), "--dry-run", "--private")
    assert done.returncode == 0, done.stderr
    assert hub.asked == []
    *listed, total, create, upload = done.stdout.splitlines()
    found = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in listed}
    sizes = {name: len(content) for name, content in files_of(built).items() if name != MANIFEST_NAME}
    assert found == sizes
    assert total.split()[0] == f"{sum(sizes.values()):,}"
    assert create == (
        "create_repo(repo_id='user/name', repo_type='space', space_sdk='gradio', exist_ok=True, private=True)"
    )
    assert upload.startswith("upload_folder(repo_id='user/name', repo_type='space', folder_path=")
    assert hub.token not in done.stdout


NAMES = ["user/name", "a/b", "User_1/Na-me.2_x", "a/" + "b" * 96]
NO_NAMES = [
    "name", "a/b/c", "user/", "/name", "user/na me", "user/näme", "user/-name", "user/name-", "user/.name",
    "user/na--me", "user/na..me", "user/name.git", "user/name\n", "", "a/" + "b" * 97, "https://hub.example/user/name",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_possible_names(built: Path, name: str) -> None:
    validate_repo_id(name)
    assert plan_deployment(built, name).create_repo["repo_id"] == name


@pytest.mark.parametrize("name", NO_NAMES)
def test_impossible_names(built: Path, name: str) -> None:
    # The Hub's client refuses each of them too; a name without user it would take as the token's user's.
    if "/" in name and name != "user/name\n":
        with pytest.raises(HFValidationError):
            validate_repo_id(name)
    with pytest.raises(ValueError, match="repo_id must be USER/NAME"):
        plan_deployment(built, name)


def test_a_changed_bundle_is_not_planned(weights_file: Path, tmp_path: Path) -> None:
    build_bundle(of_weights(weights_file), tmp_path / "bundle")
    (tmp_path / "bundle" / "app.py").write_text("mine")
    with pytest.raises(ValueError, match="was changed"):
        plan_deployment(tmp_path / "bundle", SPACE)
