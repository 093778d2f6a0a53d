"""Downloads against a local server that breaks off, lies and goes away."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from cifar_data import DataError, open_dataset
from cifar_data.sources import download
from cifar_data.sources import open as sources
from cifar_data.sources.download import HUB_FILES, HUB_FOLDER, fetch_dataset, fetch_file, fetch_hub_files

CONTENT = bytes(range(256)) * 4096


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; each entry of `cuts` ends one answer after so many bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.ranges = True
        self.etags: dict[str, str] = {}
        self.log: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        wanted = self.headers.get("Range")
        self.server.log.append((self.command, self.path, wanted))
        data = self.server.files.get(self.path.replace("/resolve/" + "c" * 40, "/resolve/main"))
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        etag = self.server.etags.get(Path(self.path).name, hashlib.sha256(data).hexdigest())
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.end_headers()
        if body:
            cut = self.server.cuts.pop(0) if self.server.cuts else len(data)
            self.wfile.write(data[start : start + cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(server, mini, tmp_path):
    """The server as a Hub that has the mini dataset."""
    if constants.HF_HUB_OFFLINE:
        pytest.skip("HF_HUB_OFFLINE is set")
    folder = mini.write_parquet(tmp_path / "hub")
    for name in HUB_FILES:
        path = f"/datasets/{download.HUB_REPOSITORY}/resolve/main/{HUB_FOLDER}/{name}"
        server.files[path] = (folder / name).read_bytes()
    return server


@pytest.fixture
def nowhere() -> str:
    """An address where nothing listens."""
    with Server() as server:
        return server.url


def _fetch(server: Server, target: Path, checksum: str = hashlib.sha256(CONTENT).hexdigest()) -> None:
    server.files.setdefault("/file.bin", CONTENT)
    fetch_file(
        f"{server.url}/file.bin", target, algorithm="sha256", checksum=checksum, progress=False, pause_s=0
    )


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*"))


def test_a_whole_file(server, tmp_path):
    _fetch(server, tmp_path / "new" / "file.bin")
    assert (tmp_path / "new" / "file.bin").read_bytes() == CONTENT
    assert _names(tmp_path) == ["file.bin", "new"]


def test_a_broken_transfer_is_resumed(server, tmp_path):
    server.cuts = [100_000, 200_000]
    _fetch(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [wanted for _, _, wanted in server.log] == [None, "bytes=100000-", "bytes=300000-"]


def test_without_ranges_it_is_restarted(server, tmp_path):
    server.cuts, server.ranges = [100_000], False
    _fetch(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_what_a_killed_process_left_is_used(server, tmp_path):
    (tmp_path / ".file.bin.part").write_bytes(CONTENT[:500_000])
    _fetch(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.log[0][2] == "bytes=500000-"


def test_what_had_arrived_whole_is_not_fetched_again(server, tmp_path):
    (tmp_path / ".file.bin.part").write_bytes(CONTENT)
    _fetch(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert _names(tmp_path) == ["file.bin"]
    assert server.log == []


@pytest.mark.parametrize("left", [b"other" * 1000, CONTENT + b"more", CONTENT[:-1] + b"x"])
def test_what_does_not_fit_is_replaced(server, tmp_path, left):
    (tmp_path / ".file.bin.part").write_bytes(left)
    _fetch(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert _names(tmp_path) == ["file.bin"]


def test_a_transfer_that_always_breaks(server, tmp_path):
    server.cuts = [1000] * 10
    with pytest.raises(DataError, match=r"file\.bin: the connection ended after 4,000 of 1,048,576 bytes"):
        _fetch(server, tmp_path / "file.bin")
    assert _names(tmp_path) == [".file.bin.part"]
    server.cuts = []
    _fetch(server, tmp_path / "file.bin")
    assert server.log[-1][2] == "bytes=4000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert _names(tmp_path) == ["file.bin"]


def test_a_transfer_that_the_user_stops_goes_on_the_next_time(server, tmp_path, monkeypatch):
    read = download._read

    def stopped(response):
        monkeypatch.setattr(download, "_read", interrupt)
        return read(response)[:300_000]

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_read", stopped)
    with pytest.raises(KeyboardInterrupt):
        _fetch(server, tmp_path / "file.bin")
    assert _names(tmp_path) == [".file.bin.part"]
    monkeypatch.setattr(download, "_read", read)
    _fetch(server, tmp_path / "file.bin")
    assert server.log[-1][2] == "bytes=300000-"
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum(server, tmp_path):
    found = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(DataError, match=f"expected sha256 {'0' * 64}, found {found}"):
        _fetch(server, tmp_path / "file.bin", checksum="0" * 64)
    assert _names(tmp_path) == []
    assert len(server.log) == 1


def test_a_failure_leaves_the_old_file(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"old")
    with pytest.raises(DataError, match="expected"):
        _fetch(server, tmp_path / "file.bin", checksum="0" * 64)
    assert (tmp_path / "file.bin").read_bytes() == b"old"


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://localhost/x"])
def test_other_schemes_are_refused(url, tmp_path):
    with pytest.raises(DataError, match="only http and https"):
        fetch_file(url, tmp_path / "x", algorithm="md5", checksum="", progress=False)
    assert _names(tmp_path) == []


def test_a_status_other_than_success(server, tmp_path):
    with pytest.raises(DataError, match="HTTP status 404"):
        fetch_file(f"{server.url}/none", tmp_path / "x", algorithm="md5", checksum="", progress=False)


def test_the_hub(hub, mini, tmp_path):
    fetch_hub_files(tmp_path / "downloads", endpoint=hub.url, progress=False)
    assert _names(tmp_path / "downloads") == ["plain_text", *sorted(HUB_FILES)]
    fetched = [path for method, path, _ in hub.log if method == "GET"]
    assert all("/resolve/" + "c" * 40 in path for path in fetched)  # both of one commit


@pytest.mark.parametrize("etag", ["0" * 64, "abc"])
def test_a_hub_file_that_is_not_what_the_hub_says(hub, tmp_path, etag):
    hub.etags[HUB_FILES[1]] = etag
    with pytest.raises(DataError, match=f"{HUB_FILES[1]}.*{etag}"):
        fetch_hub_files(tmp_path / "downloads", endpoint=hub.url, progress=False)
    assert _names(tmp_path / "downloads") == [".plain_text.part", HUB_FILES[0]]


def test_of_the_hub_only_what_is_missing_is_fetched_again(hub, tmp_path):
    hub.etags[HUB_FILES[1]] = "abc"
    with pytest.raises(DataError):
        fetch_hub_files(tmp_path / "downloads", endpoint=hub.url, progress=False)
    del hub.etags[HUB_FILES[1]]
    fetch_hub_files(tmp_path / "downloads", endpoint=hub.url, progress=False)
    fetched = [path.rpartition("/")[2] for method, path, _ in hub.log if method == "GET"]
    assert fetched == list(HUB_FILES)
    assert _names(tmp_path / "downloads") == ["plain_text", *sorted(HUB_FILES)]


def test_an_unreachable_hub_leaves_nothing(hub, tmp_path, nowhere):
    with pytest.raises(DataError):
        fetch_hub_files(tmp_path / "downloads", endpoint=nowhere, progress=False)
    assert _names(tmp_path / "downloads") == []


def test_the_tarball_comes_second(server, mini, tmp_path, monkeypatch):
    path = mini.write_tarball(tmp_path / "mini.tar.gz")
    server.files["/t.tar.gz"] = path.read_bytes()
    monkeypatch.setattr(download, "TARBALL_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    target = tmp_path / "downloads"
    fetch_dataset(target, hub_endpoint=server.url, tarball_url=f"{server.url}/t.tar.gz", progress=False)
    assert _names(target) == ["cifar-10-python.tar.gz"]


def test_an_altered_tarball_is_not_kept(server, tmp_path):
    server.files["/t.tar.gz"] = b"not the tarball"
    with pytest.raises(DataError, match="expected md5 c58f30108f718f92721af3b95e74349a, found "):
        fetch_dataset(tmp_path, source="tarball", tarball_url=f"{server.url}/t.tar.gz", progress=False)
    assert _names(tmp_path) == []


def _at(monkeypatch, url: str) -> None:
    def fetch(target, **options):
        fetch_dataset(target, hub_endpoint=url, tarball_url=f"{url}/t.tar.gz", **options)

    monkeypatch.setattr(sources, "fetch_dataset", fetch)


def test_open_downloads_once_when_nothing_is_given(hub, cache, mini, monkeypatch, assert_same_content):
    _at(monkeypatch, hub.url)
    assert_same_content(open_dataset(progress=False), mini.train, mini.test)
    requests = len(hub.log)
    assert_same_content(open_dataset(progress=False), mini.train, mini.test)
    assert len(hub.log) == requests


def test_progress_goes_to_stderr(hub, cache, monkeypatch, capsys):
    _at(monkeypatch, hub.url)
    open_dataset()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading train-00000-of-00001.parquet" in err
    assert "Decoding parquet: 100%" in err


def test_no_data_and_no_network_is_one_message(cache, monkeypatch, nowhere):
    _at(monkeypatch, nowhere)
    with pytest.raises(DataError) as caught:
        open_dataset(progress=False)
    message = str(caught.value)
    for part in ("uoft-cs/cifar10", "t.tar.gz", "refused", "--data.root", "CIFAR_DATA_DIR: not set",
                 "--data.source synthetic", str(cache)):  # fmt: skip
        assert part in message
    assert [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"] == []


@pytest.mark.parametrize("source", ["batches", "folder"])
def test_layouts_that_cannot_be_downloaded(cache, source):
    with pytest.raises(DataError, match=f"{source!r} cannot be downloaded"):
        open_dataset(source=source, progress=False)


def test_a_given_root_is_never_replaced_by_a_download(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "fetch_dataset", lambda *_, **__: pytest.fail("downloaded"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing, it is empty"):
        open_dataset(tmp_path / "empty", progress=False)
    monkeypatch.setenv("CIFAR_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"CIFAR_DATA_DIR .*none does not exist"):
        open_dataset(progress=False)
