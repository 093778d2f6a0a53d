"""Deployments to a server on this machine that answers as the Hub does."""

import base64
import json
import shutil
import socket
import threading
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import huggingface_hub.constants
import pytest

from cifar_space import of_run, of_weights
from cifar_space.cli import main
from cifar_space.publish.bundle import build_bundle
from cifar_space.publish.deploy import DeployError, deploy, plan_deployment


@dataclass
class Hub:
    """The stand-in's address and token, its Spaces, and the requests that it received.

    `refusals` are statuses by the beginning of a path, answered instead.
    """

    url: str = ""
    token: str = "hf_secret"
    spaces: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    created: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=lambda: {"type": "user", "name": "user", "isPro": True})


@pytest.fixture
def hub(monkeypatch):
    """The only Hub that is known here."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: hub.token)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep quiet."""

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        status, document = self._respond(path, body)
        content = json.dumps(document).encode()
        self.send_response(status)
        if status >= 400:
            self.send_header("X-Error-Message", document["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def _respond(self, path, body):
        hub = self.hub
        for beginning, status in hub.refusals.items():
            if path.startswith(beginning):
                return status, {"error": f"said with {status}"}
        if self.headers.get("Authorization") != f"Bearer {hub.token}":
            return 401, {"error": "Invalid username or password."}
        match path.split("/")[2:]:
            case ["whoami-v2"]:
                return 200, {"auth": {}, "orgs": [{"name": "lab"}], **hub.account}
            case ["repos", "create"]:
                return self._create(json.loads(body))
            case ["validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["spaces", user, name, *action] if (space := f"{user}/{name}") in hub.spaces:
                return 200, self._act(space, action, body)
        return 404, {"error": f"no {path}"}

    def _act(self, space, action, body):
        files = self.hub.spaces[space]
        match action:
            case []:
                return {"id": space, "private": space in self.hub.private, "siblings": []}
            case ["tree", *_]:
                return [
                    {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
            case ["preupload", *_]:
                answer = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
                return {"files": [{"path": one["path"], **answer} for one in json.loads(body)["files"]]}
        for one in map(json.loads, body.splitlines()):
            if one["key"] == "file":
                files[one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            elif one["key"] == "deletedFile":
                del files[one["value"]["path"]]
        return {
            "success": True,
            "commitOid": "0" * 40,
            "commitUrl": f"{self.hub.url}/spaces/{space}/commit/0",
        }

    def _create(self, document):
        space = f"{document['organization']}/{document['name']}"
        self.hub.created.append(document)
        url = f"{self.hub.url}/spaces/{space}"
        if space in self.hub.spaces:
            return 409, {"error": "You already created this Space", "url": url}
        self.hub.spaces[space] = {".gitattributes": b"", "README.md": b"the Hub's own"}
        if document.get("private") or document.get("visibility") == "private":
            self.hub.private.add(space)
        return 200, {"url": url, "name": space, "id": "1"}


SPACE = "user/name"
STRAY = [
    *(".env", ".git/config", ".cache/huggingface/token", "token.txt", "cifar_space/.env", "notes.txt"),
    "cifar_space/__pycache__/cli.cpython-312.pyc",
]


@pytest.fixture(scope="module")
def built(weights_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "bundle"
    build_bundle(of_weights(weights_file), folder)
    return folder


@pytest.fixture(scope="module")
def files(built, contents):
    """The bundle's files."""
    return contents(built)


def command(*args):
    return main(["deploy", *([] if "--repo-id" in args else ["--repo-id", SPACE]), *args])


def test_the_command_uploads_a_bundle_to_a_new_space(built, files, hub, capsys):
    assert command("--bundle", str(built)) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{hub.url}/spaces/{SPACE}"
    (created,) = hub.created
    assert (created["organization"], created["name"]) == ("user", "name")
    assert (created["type"], created["sdk"]) == ("space", "gradio")
    assert not {"visibility", "private", "hardware"} & set(created)
    assert hub.spaces[SPACE] == {".gitattributes": b"", **files}


def test_other_files_are_not_uploaded(built, files, tmp_path, hub):
    bundle = shutil.copytree(built, tmp_path / "bundle")
    for name in STRAY:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text("HF_TOKEN=hf_secret")
    plan = plan_deployment(bundle, SPACE)
    deploy(plan)
    assert hub.spaces[SPACE] == {".gitattributes": b"", **files}
    assert plan.files == {name: len(content) for name, content in sorted(files.items())}


def test_a_second_deployment_replaces_the_first_and_keeps_other_files(built, files, hub):
    hub.spaces[SPACE] = {
        "LICENSE": b"the owner's",
        "cifar_space/old.py": b"left over",
        "cifar_space/assets/gallery/gallery.npz": b"of other weights",
        "app.py": b"before",
    }
    deploy(plan_deployment(built, SPACE))
    assert hub.spaces[SPACE] == {"LICENSE": b"the owner's", **files}


def test_private_is_never_public(built, hub):
    plan = plan_deployment(built, SPACE, private=True)
    deploy(plan)
    assert SPACE in hub.private
    deploy(plan)  # it exists and is private
    hub.private.clear()
    hub.spaces[SPACE] = {}
    with pytest.raises(DeployError, match="user/name exists and is public"):
        deploy(plan)
    assert hub.spaces[SPACE] == {}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("/api/repos/create", status) for status in (401, 429, 500)),
        ("/api/spaces/user/name/preupload", 403),
        ("/api/spaces/user/name/commit", 404),
    ],
)
def test_the_hubs_own_error_is_shown(built, hub, path, status):
    hub.refusals[path] = status
    with pytest.raises(DeployError, match=f"deploying user/name to {hub.url} failed") as failed:
        deploy(plan_deployment(built, SPACE))
    assert str(status) in str(failed.value)
    assert hub.token not in str(failed.value)


def test_tokens_are_checked_and_not_shown(built, hub, monkeypatch):
    plan = plan_deployment(built, SPACE)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_wrong")
    with pytest.raises(DeployError, match="401") as failed:
        deploy(plan)
    assert "hf_wrong" not in str(failed.value)
    assert hub.spaces == {}
    asked = len(hub.asked)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(DeployError, match="there is no Hub token"):
        deploy(plan)
    assert len(hub.asked) == asked


def test_no_network_is_an_error(built, hub, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        with pytest.raises(DeployError, match=f"deploying user/name to {address} failed"):
            deploy(plan_deployment(built, SPACE))


def test_offline_mode_is_an_error(built, hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    try:
        with pytest.raises(DeployError, match=r"HF_HUB_OFFLINE|offline mode"):
            deploy(plan_deployment(built, SPACE))
    finally:
        huggingface_hub.close_session()
    assert hub.asked == []


def test_a_dry_run_contacts_nobody_and_prints_everything(built, files, hub, capsys):
    assert command("--bundle", str(built), "--dry-run", "--private") == 0
    assert hub.asked == []
    *listed, total, create, upload = capsys.readouterr().out.splitlines()
    assert sorted(line.split() for line in listed) == sorted(
        [f"{len(c):,}", name] for name, c in files.items()
    )
    assert total.split()[0] == f"{sum(map(len, files.values())):,}"
    assert create == (
        "create_repo(repo_id='user/name', repo_type='space', space_sdk='gradio', exist_ok=True, private=True)"
    )
    assert upload.startswith("upload_folder(repo_id='user/name', repo_type='space', folder_path=")


@pytest.mark.parametrize(
    ("account", "args", "hardware", "line"),
    [
        ({"isPro": True}, [], None, "CPU Basic, which needs PRO"),
        (
            {"isPro": False},
            [],
            "zero-a10g",
            "verified address and an account older than 30 days, and allows two",
        ),
        ({"isPro": False}, ["--torch", "cpu"], None, ""),
        ({"isPro": False}, ["--repo-id", "lab/name"], None, "CPU Basic"),
        ({"type": "org", "name": "user"}, [], None, "CPU Basic"),
    ],
    ids=["pro", "free", "explicit", "organization", "token of an organization"],
)
def test_the_account_settles_the_machine(weights_file, hub, capsys, account, args, hardware, line):
    hub.account |= account
    args = ["--weights", str(weights_file), *args]
    assert command(*args, "--dry-run") == 0
    said = capsys.readouterr().out
    assert line in said.splitlines()[0]
    assert ("space_hardware='zero-a10g'" in said) == (hardware is not None)
    assert hub.created == []
    assert ("GET /api/whoami-v2" in hub.asked) == ("--torch" not in args)
    assert command(*args) == 0
    assert hub.created[0].get("hardware") == hardware


def test_a_rejected_token_is_told_before_anything_is_built(weights_file, hub, capsys):
    hub.refusals["/api/whoami"] = 401
    assert command("--weights", str(weights_file)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"cifar-space: asking {hub.url} for the account failed: ")
    assert command("--weights", str(weights_file), "--dry-run") == 0
    assert "shown for CPU Basic" in capsys.readouterr().err


def test_a_gallery_without_images_mounts_the_data_set(run_folder, tmp_path, hub):
    bundle = tmp_path / "bundle"
    build_bundle(of_run(run_folder), bundle)
    assert "space_volumes" not in plan_deployment(bundle, SPACE).create_repo
    (bundle / "cifar_space/assets/gallery/gallery.png").unlink()
    deploy(plan_deployment(bundle, SPACE))
    (volume,) = hub.created[0]["volumes"]
    assert volume == {
        "type": "dataset", "source": "uoft-cs/cifar10", "mountPath": "/cifar10", "readOnly": True
    }  # fmt: skip
    assert hub.created[0]["variables"] == [{"key": "CIFAR_SPACE_FETCH_IMAGES", "value": "1"}]


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "user/", "/name", "user/na me", "user/name.git"])
def test_impossible_names_are_rejected(built, name):
    with pytest.raises(ValueError, match=r"(?i)repo[ _]id"):
        plan_deployment(built, name)


def test_a_folder_that_is_no_bundle_is_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no bundle"):
        plan_deployment(tmp_path, SPACE)
