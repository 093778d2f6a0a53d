"""Hostile requests: each gets a plain answer, and the next answer is right."""

import json
import socket
import sys
import urllib.error
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from cifar_space import Options, example_paths, load_service
from cifar_space.service.serialize import describe

GOOD = example_paths()[2].read_bytes()


@pytest.fixture(scope="module")
def right(run_folder, tmp_path_factory):
    """The right answer, of the same model apart from the server."""
    path = tmp_path_factory.mktemp("right") / "a.png"
    path.write_bytes(GOOD)
    answers = load_service(run_folder / "model.safetensors").answer([path], Options(top=3, explain=False))
    return describe(answers, opacity=0.5)[0]


@pytest.fixture(autouse=True)
def the_next_answer_is_right(server, right):
    yield
    assert server.classify(*server.upload(GOOD)) == [right]


def test_a_file_of_exactly_the_limit_is_read(server, right):
    (answer,) = server.classify(*server.upload(GOOD + bytes(100_000 - len(GOOD))))
    assert answer == right


@pytest.mark.parametrize("size", [100_001, 30_000_000])
def test_large_files_are_rejected_during_the_upload(server, size):
    # The server answers 413 and hangs up; whoever is still sending may see only that.
    with pytest.raises(urllib.error.URLError, match=r"413|reset|Broken pipe") as refused:
        server.upload(bytes(size))
    if isinstance(refused.value, urllib.error.HTTPError):
        refused.value.close()


NAMES = ["../../../evil.png", "/tmp/evil.png", "a\0b.png", "." * 300, "é" * 300, "<b>.png", ""]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_file_names_do_no_harm(server, right, name):
    (plain,) = server.upload(GOOD)
    try:
        (path,) = server.upload(GOOD, name=name)
    except urllib.error.HTTPError as error:
        with error:
            if error.code not in (400, 413, 422):
                raise
    else:
        assert Path(path).resolve().parent == Path(plain).parent
        assert server.classify(path)[0]["predictions"] == right["predictions"]


OUTSIDE = ["/etc/passwd", "../../../../etc/passwd", "~/.ssh/id_rsa", "\0", "a" * 5000, ""]


@pytest.mark.parametrize("path", [*OUTSIDE, str(example_paths()[0])], ids=lambda path: ascii(path)[:30])
def test_only_uploads_are_read(server, path):
    with pytest.raises((ValueError, urllib.error.HTTPError)) as refused:
        server.classify(path)
    assert "root:" not in str(refused.value)
    assert '"error": null' not in str(refused.value)  # there is a reason
    if path in OUTSIDE:  # the examples are the page's own
        with pytest.raises((urllib.error.HTTPError, ValueError, OSError)):
            server.send(f"gradio_api/file={quote(path)}")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_address_is_fetched(server, scheme):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        address = f"{scheme}://127.0.0.1:{other.getsockname()[1]}/a.png"
        with pytest.raises(ValueError, match="web addresses are not fetched"):
            server.classify(address, url=address)
        with pytest.raises(BlockingIOError):  # nobody has called
            other.accept()


def test_nan_is_rejected(server):
    with pytest.raises(ValueError, match="top must be a whole number from 1 to 10, got nan"):
        server.classify(*server.upload(GOOD), top=float("nan"))


CLASSIFY = "gradio_api/call/classify"
WEIRD = {
    "no JSON": (CLASSIFY, b"{"),
    "no data": (CLASSIFY, b"{}"),
    "too few values": (CLASSIFY, b'{"data": []}'),
    "too many values": (CLASSIFY, json.dumps({"data": [None] * 99}).encode()),
    "wrong types": (CLASSIFY, b'{"data": [7, "x", {}, 3, [], null, "y", "z"]}'),
    "bad files": (CLASSIFY, b'{"data": [[{"path": 7}], 3, false, [], "gradcam", "cat", 1, 0.5]}'),
    "deeply nested": (CLASSIFY, b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "no such endpoint": ("gradio_api/call/nothing", b'{"data": []}'),
    "a private one": ("gradio_api/call/show", b'{"data": []}'),
    "queue of no function": ("gradio_api/queue/join", b'{"fn_index": 999, "data": [], "session_hash": "a"}'),
}


@pytest.mark.parametrize(("path", "body"), WEIRD.values(), ids=WEIRD)
def test_malformed_requests_get_an_error(server, path, body):
    try:
        told = server.send(path, body)
        if path == CLASSIFY:
            told = server.send(f"{path}/{json.loads(told)['event_id']}")
            assert b"event: error" in told
    except urllib.error.HTTPError as error:
        with error:
            told = error.read()
    # Neither code nor folders of this machine.
    for inside in ("Traceback", 'File "', "site-packages", sys.prefix):
        assert inside.encode() not in told


HEAD = "POST /gradio_api/{} HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\nContent-Length: 50000\r\n\r\n"
LEAVERS = {
    "in the middle of an upload": HEAD.format("upload", "multipart/form-data; boundary=x").encode()
    + b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    + bytes(10_000),
    "in the middle of a request": HEAD.format("call/classify", "application/json").encode() + b'{"data": [',
    "without a word": b"",
    "with noise": bytes(range(256)) * 16,
}


@pytest.mark.parametrize("sent", LEAVERS.values(), ids=LEAVERS)
def test_clients_that_hang_up_do_no_harm(server, sent):
    place = urlsplit(server.url)
    for _ in range(20):
        with socket.create_connection((place.hostname, place.port), timeout=30) as one:
            one.sendall(sent)
