"""Hostile requests: each gets a plain answer, the command stays alive, and the next answer is right."""

import io
import json
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from PIL import Image

from cifar_space import Limits, Options, Service, example_paths, load_service
from cifar_space.service.serialize import describe

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (24, 40, 3), dtype=np.uint8))
GOOD = example_paths()[2].read_bytes()
MIB = 2**20


@dataclass
class Server:
    """The command in a process of its own, and what it printed."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def upload(self, *contents: bytes, name: str = "a.png") -> list[str]:
        """Upload by hand, as a client without manners would, and return the paths on the server."""
        body = b"".join(
            f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for content in contents
        )
        return json.loads(self.send("upload", body + b"--x--\r\n", "multipart/form-data; boundary=x"))

    def send(self, path: str, body: bytes | None, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(f"{self.url}gradio_api/{path}", body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=120) as response:
            return response.read()

    def classify(self, paths: list[str], **changes: Any) -> Any:
        """Return the answers, or raise `ValueError` with the server's words."""
        options = {"top": 3, "explain": False, "layers": ["layer1"], "method": "gradcam"} | changes
        files = [{"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}} for path in paths]
        data = [files, *options.values(), "predicted", 1, 0.5]
        event = json.loads(self.send("call/classify", json.dumps({"data": data}).encode()))["event_id"]
        told = self.send(f"call/classify/{event}", None).decode()
        kind, _, rest = told.rpartition("event: ")[2].partition("\ndata: ")
        answer = json.loads(rest)
        if kind == "error":
            raise ValueError(f"{answer}")
        return answer[0]

    def check_alive(self, expected: Any) -> None:
        assert self.process.poll() is None
        (answer,) = self.classify(self.upload(GOOD))
        assert answer == expected


@pytest.fixture(scope="module")
def server(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "log.txt"
    code = "from cifar_space.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "--run", str(run_folder), "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True)
    assert process.stdout is not None
    url = f"http://127.0.0.1:{port}/"
    told = process.stdout.readline()
    assert url in told, log.read_text()
    yield Server(url, process, log)
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def local(run_folder: Path) -> Service:
    return load_service(run_folder / "model.safetensors")


@pytest.fixture(scope="module")
def right(local: Service, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the good picture's answer is."""
    return answer_of(local, GOOD, tmp_path_factory.mktemp("right"))


def answer_of(local: Service, content: bytes, folder: Path) -> Any:
    path = folder / "a.png"
    path.write_bytes(content)
    return describe(local.answer([path], Options(top=3, explain=False)), opacity=0.5)[0]


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(30 * MIB))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


READ = {
    "animated GIF": encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO.transpose(1)]),
    "16 bits": encoded(Image.fromarray(RNG.integers(0, 2**16, (40, 40), dtype=np.uint16))),
    "just under 20 MiB": encoded(PHOTO) + bytes(20 * MIB - len(encoded(PHOTO))),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_unusual_pictures_are_read(
    server: Server, local: Service, right: Any, tmp_path: Path, content: bytes
) -> None:
    (answer,) = server.classify(server.upload(content))
    assert answer == answer_of(local, content, tmp_path)
    assert len(answer["predictions"]) == 3
    server.check_alive(right)


REFUSED = {
    "no bytes": (b"", "empty"),
    "text named .png": (b"hello, I am a picture", "not a readable image"),
    "bomb": (png_of_size(60_000, 60_000), "more than 50 million pixels"),
    "bomb below Pillow's own limit": (png_of_size(9_000, 9_000), "9,000 by 9,000 pixels"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_rejected_files_have_a_reason(server: Server, right: Any, content: bytes, reason: str) -> None:
    bad, good = server.classify(server.upload(content, GOOD))
    assert set(bad) == {"name", "error"}
    assert reason in bad["error"]
    assert good["predictions"] == right["predictions"]
    server.check_alive(right)


def test_30_mb_are_rejected_during_the_upload(server: Server, right: Any) -> None:
    # The server answers 413 and hangs up; whoever is still sending may see only that.
    with pytest.raises(urllib.error.URLError, match=r"413|reset|Broken pipe"):
        server.upload(bytes(30_000_000))
    server.check_alive(right)


def test_200_files_are_rejected_with_the_limit(server: Server, right: Any) -> None:
    paths = server.upload(*[GOOD + bytes([number]) for number in range(200)])
    assert len(set(paths)) == 200
    with pytest.raises(ValueError, match="200 images were given; 1 to 16 are allowed at once"):
        server.classify(paths)
    assert len(server.classify(paths[:16])) == Limits().pictures
    server.check_alive(right)


NAMES = [
    "../../../evil.png",
    "/tmp/evil.png",
    "..\\..\\evil.png",
    "a\0b.png",
    "." * 300,
    "é" * 300,
    "<b>.png",
    "",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_file_names_do_no_harm(server: Server, right: Any, name: str) -> None:
    (plain,) = server.upload(GOOD)
    try:
        (path,) = server.upload(GOOD, name=name)
    except urllib.error.HTTPError as error:
        error.close()
        refused = error.code
    else:
        refused = 400
        assert Path(path).resolve().parent == Path(plain).parent
        (answer,) = server.classify([path])
        assert answer["predictions"] == right["predictions"]
    assert refused in (400, 413, 422)
    server.check_alive(right)


OUTSIDE = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "/proc/self/environ",
    "~/.ssh/id_rsa",
    "\0",
    "a" * 5000,
    "",
]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: ascii(path)[:30])
def test_only_uploads_are_read(server: Server, right: Any, path: str) -> None:
    with pytest.raises((ValueError, urllib.error.HTTPError)) as refused:
        server.classify([path])
    assert "root:" not in str(refused.value)
    with pytest.raises((urllib.error.HTTPError, ValueError, OSError)):
        server.send(f"file={quote(path)}", None)
    server.check_alive(right)


WEIRD: dict[str, tuple[str, bytes]] = {
    "no JSON": ("call/classify", b"{"),
    "no data": ("call/classify", b"{}"),
    "too few values": ("call/classify", b'{"data": []}'),
    "too many values": ("call/classify", json.dumps({"data": [None] * 99}).encode()),
    "wrong types": ("call/classify", json.dumps({"data": [7, "x", {}, 3, [], None, "y", "z"]}).encode()),
    "files that are none": (
        "call/classify",
        b'{"data": [[{"path": 7}], 3, false, [], "gradcam", "cat", 1, 0.5]}',
    ),
    "deeply nested": ("call/classify", b'{"data": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "no such endpoint": ("call/nothing", b'{"data": []}'),
    "a private one": ("call/show", b'{"data": []}'),
    "queue without session": ("queue/join", b'{"fn_index": 0, "data": [], "session_hash": null}'),
    "queue of no function": ("queue/join", b'{"fn_index": 999, "data": [], "session_hash": "a"}'),
}


@pytest.mark.parametrize(("path", "body"), WEIRD.values(), ids=WEIRD)
def test_malformed_requests_get_an_error(server: Server, right: Any, path: str, body: bytes) -> None:
    told = ""
    try:
        told = server.send(path, body).decode()
        if path == "call/classify":
            told = server.send(f"{path}/{json.loads(told)['event_id']}", None).decode()
            assert "event: error" in told
    except urllib.error.HTTPError as error:
        with error:
            told = error.read().decode()
    assert "Traceback" not in told
    assert 'File "' not in told
    (answer,) = server.classify(server.upload(GOOD))
    assert answer == right


def hang_up_after(head: str, body: bytes) -> Callable[[str], None]:
    def hang_up(url: str) -> None:
        place = urlsplit(url)
        with socket.create_connection((place.hostname, place.port), timeout=30) as one:
            one.sendall(head.replace("\n", "\r\n").encode() + body)

    return hang_up


LEAVERS = {
    "in the middle of an upload": hang_up_after(
        "POST /gradio_api/upload HTTP/1.1\nHost: x\nContent-Type: multipart/form-data; boundary=x\n"
        "Content-Length: 5000000\n\n",
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(100_000),
    ),
    "in the middle of a request": hang_up_after(
        "POST /gradio_api/call/classify HTTP/1.1\nHost: x\nContent-Type: application/json\nContent-Length: 500\n\n",
        b'{"data": [',
    ),
    "without a word": hang_up_after("", b""),
    "with noise": hang_up_after("", bytes(range(256)) * 16),
}


@pytest.mark.parametrize("leave", LEAVERS.values(), ids=LEAVERS)
def test_clients_that_hang_up_do_no_harm(server: Server, right: Any, leave: Callable[[str], None]) -> None:
    for _ in range(20):
        leave(server.url)
    assert server.process.poll() is None
    (answer,) = server.classify(server.upload(GOOD))
    assert answer == right


def test_a_client_that_leaves_during_the_work_blocks_nobody(server: Server, right: Any) -> None:
    for number in range(8):
        (path,) = server.upload(encoded(PHOTO) + bytes([number]))
        files = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
        data = [files, 3, True, ["layer1", "layer2"], "layercam", "predicted", 1, 0.5]
        server.send("call/classify", json.dumps({"data": data}).encode())  # and nobody asks for the answer
    server.check_alive(right)
