"""Deployments to a server on this machine that answers as the Hub does."""

import base64
import json
import threading
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub
import huggingface_hub.constants
import pytest

from cifar_space import of_run, of_weights
from cifar_space.cli import main
from cifar_space.publish.bundle import build_bundle
from cifar_space.publish.deploy import DeployError, deploy, plan_deployment

SPACE, TOKEN = "user/name", "hf_secret"
STRAY = [
    *(".env", ".git/config", ".cache/huggingface/token", "token.txt", "cifar_space/.env", "notes.txt"),
    "cifar_space/__pycache__/cli.cpython-312.pyc",
]


class Hub(ThreadingHTTPServer):
    """The stand-in's Spaces and requests; `failures` are statuses by the beginning of a path, answered instead."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.account = {"type": "user", "name": "user", "isPro": True}
        self.spaces, self.private, self.failures = {}, set(), {}
        self.created, self.asked = [], []

    def respond(self, path, body):
        for beginning, status in self.failures.items():
            if path.startswith(beginning):
                return status, {"error": f"said with {status}"}
        match path.split("/")[2:]:
            case ["whoami-v2"]:
                return 200, {"auth": {}, "orgs": [{"name": "lab"}], **self.account}
            case ["repos", "create"]:
                return self.create(json.loads(body))
            case ["validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case ["spaces", user, name, *action] if (space := f"{user}/{name}") in self.spaces:
                return 200, self.act(space, action, body)
        return 404, {"error": f"no {path}"}

    def create(self, document):
        space = f"{document['organization']}/{document['name']}"
        self.created.append(document)
        url = f"{self.url}/spaces/{space}"
        if space in self.spaces:
            return 409, {"error": "You already created this Space", "url": url}
        self.spaces[space] = {".gitattributes": b"", "README.md": b"the Hub's own"}
        if document.get("private") or document.get("visibility") == "private":
            self.private.add(space)
        return 200, {"url": url, "name": space, "id": "1"}

    def act(self, space, action, body):
        files = self.spaces[space]
        match action:
            case []:
                return {"id": space, "private": space in self.private, "siblings": []}
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
        commit = "0" * 40
        url = f"{self.url}/spaces/{space}/commit/{commit}"
        return {"success": True, "commitOid": commit, "commitUrl": url}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        status, answer = self.server.respond(path, self.rfile.read(int(self.headers["Content-Length"] or 0)))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, answer = 401, {"error": "Invalid username or password."}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    do_POST = do_GET


@pytest.fixture
def hub(monkeypatch):
    """The only Hub that is known here."""
    with Hub() as hub:
        threading.Thread(target=hub.serve_forever, args=[0.05]).start()
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: TOKEN)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        yield hub
        hub.shutdown()


@pytest.fixture(scope="module")
def built(weights_file, tmp_path_factory, contents):
    """A bundle in which other files lie, and its own files."""
    folder = tmp_path_factory.mktemp("built") / "bundle"
    build_bundle(of_weights(weights_file), folder)
    files = contents(folder)
    for name in STRAY:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"HF_TOKEN={TOKEN}")
    return folder, files


@pytest.fixture(scope="module")
def plan(built):
    return plan_deployment(built[0], SPACE)


def command(*args):
    return main(["deploy", *([] if "--repo-id" in args else ["--repo-id", SPACE]), *map(str, args)])


def test_the_command_uploads_a_bundle_to_a_new_space(built, hub, capsys):
    assert command("--bundle", built[0]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{hub.url}/spaces/{SPACE}"
    (created,) = hub.created
    expected = {"organization": "user", "name": "name", "type": "space", "sdk": "gradio"}
    assert created.items() >= expected.items()
    assert not {"visibility", "private", "hardware"} & set(created)
    assert hub.spaces[SPACE] == {".gitattributes": b"", **built[1]}


def test_a_second_deployment_replaces_the_first_and_keeps_other_files(built, plan, hub):
    former = ("app.py", "cifar_space/old.py", "cifar_space/assets/gallery/gallery.npz")
    hub.spaces[SPACE] = {"LICENSE": b"the owner's", **dict.fromkeys(former, b"of the former bundle")}
    deploy(plan)
    assert hub.spaces[SPACE] == {"LICENSE": b"the owner's", **built[1]}


def test_private_is_never_public(built, hub):
    plan = plan_deployment(built[0], SPACE, private=True)
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
    [("repos/create", 401), ("repos/create", 429), ("repos/create", 500), (f"spaces/{SPACE}/preupload", 403),
     (f"spaces/{SPACE}/commit", 404)],
)  # fmt: skip
def test_the_hubs_own_error_is_shown(plan, hub, path, status):
    hub.failures[f"/api/{path}"] = status
    with pytest.raises(DeployError, match=f"deploying user/name to {hub.url} failed.*{status}") as failed:
        deploy(plan)
    assert TOKEN not in str(failed.value)


NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("constant", "value", "message"),
    [("ENDPOINT", NOBODY, f"to {NOBODY} failed"), ("HF_HUB_OFFLINE", True, "HF_HUB_OFFLINE|offline mode")],
)
def test_no_network_is_an_error(plan, hub, monkeypatch, constant, value, message):
    monkeypatch.setattr(huggingface_hub.constants, constant, value)
    with pytest.raises(DeployError, match=message):
        deploy(plan)
    assert hub.asked == []


def test_a_dry_run_contacts_nobody_and_prints_everything(built, hub, capsys):
    assert command("--bundle", built[0], "--dry-run", "--private") == 0
    assert hub.asked == []
    *listed, total, create, upload = capsys.readouterr().out.splitlines()
    sizes = {name: len(content) for name, content in built[1].items()}
    assert [line.split() for line in listed] == [[f"{sizes[name]:,}", name] for name in sorted(sizes)]
    assert total.split()[0] == f"{sum(sizes.values()):,}"
    assert create == (
        "create_repo(repo_id='user/name', repo_type='space', space_sdk='gradio', exist_ok=True, private=True)"
    )
    assert upload.startswith("upload_folder(repo_id='user/name', repo_type='space', folder_path=")


@pytest.mark.parametrize(
    ("account", "args", "hardware", "line"),
    [
        ({"isPro": True}, [], None, "CPU Basic, which needs PRO"),
        ({"isPro": False}, [], "zero-a10g", "an account older than 30 days, and allows two"),
        ({"isPro": False}, ["--torch", "cpu"], None, ""),
        ({"isPro": False}, ["--repo-id", "lab/name"], None, "CPU Basic"),
        ({"type": "org", "isPro": False}, [], None, "CPU Basic"),
    ],
    ids=["pro", "free", "explicit", "organization", "token of an organization"],
)
def test_the_account_settles_the_machine(weights_file, hub, capsys, account, args, hardware, line):
    hub.account |= account
    args = ["--weights", weights_file, *args]
    assert command(*args, "--dry-run") == 0
    said = capsys.readouterr().out
    assert line in said.splitlines()[0]
    assert ("space_hardware='zero-a10g'" in said) == (hardware is not None)
    assert hub.created == []
    assert ("GET /api/whoami-v2" in hub.asked) == ("--torch" not in args)
    assert command(*args) == 0
    assert hub.created[0].get("hardware") == hardware


def test_a_rejected_token_is_told_before_anything_is_built(weights_file, hub, capsys):
    hub.failures["/api/whoami"] = 401
    assert command("--weights", weights_file) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"cifar-space: asking {hub.url} for the account failed: ")
    assert command("--weights", weights_file, "--dry-run") == 0
    assert "shown for CPU Basic" in capsys.readouterr().err


def test_a_gallery_without_images_mounts_the_data_set(run_folder, tmp_path, hub):
    build_bundle(of_run(run_folder), tmp_path / "bundle")
    assert "space_volumes" not in plan_deployment(tmp_path / "bundle", SPACE).create_repo
    (tmp_path / "bundle/cifar_space/assets/gallery/gallery.png").unlink()
    deploy(plan_deployment(tmp_path / "bundle", SPACE))
    assert hub.created[0]["volumes"] == [
        {"type": "dataset", "source": "uoft-cs/cifar10", "mountPath": "/cifar10", "readOnly": True}
    ]
    assert hub.created[0]["variables"] == [{"key": "CIFAR_SPACE_FETCH_IMAGES", "value": "1"}]


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "user/", "/name", "user/na me", "user/name.git"])
def test_impossible_names_are_rejected(built, name):
    with pytest.raises(ValueError, match=r"(?i)repo[ _]id"):
        plan_deployment(built[0], name)
