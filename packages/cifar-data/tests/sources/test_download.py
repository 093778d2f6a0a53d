"""Downloads from a local server in place of the Hub and the authors, which also breaks off and goes away."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from cifar_data import DataError, open_dataset
from cifar_data.sources import download
from cifar_data.sources.download import HUB_FILES, HUB_FOLDER, fetch_dataset


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; each entry of `cuts` ends one answer after so many bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.log: list[str] = []

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
        name = Path(self.path).name
        data = self.server.files.get(name)
        if data is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.end_headers()
        if body:
            self.server.log.append(name)
            cut = self.server.cuts.pop(0) if self.server.cuts else len(data)
            self.wfile.write(data[start : start + cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A server in place of the Hub and the authors, without any files."""
    if constants.HF_HUB_OFFLINE:
        pytest.skip("HF_HUB_OFFLINE is set")
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the attempts of the libraries
    with Server() as server:
        use(server, monkeypatch)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(server, mini, tmp_path) -> Server:
    """The server with the Parquet files of the mini dataset."""
    folder = mini.write_parquet(tmp_path / "hub")
    server.files |= {name: (folder / name).read_bytes() for name in HUB_FILES}
    return server


def use(server: Server, monkeypatch) -> None:
    """Downloads from this server."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(download, "TARBALL_URL", f"{server.url}/cifar-10-python.tar.gz")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_hub_files_arrive_as_they_are(hub, tmp_path):
    fetch_dataset(tmp_path / "downloads", progress=False)
    assert names(tmp_path / "downloads") == [HUB_FOLDER]
    for name in HUB_FILES:
        assert (tmp_path / "downloads" / HUB_FOLDER / name).read_bytes() == hub.files[name]


def test_a_broken_connection_is_tried_again(hub, tmp_path):
    hub.cuts = [100_000]
    fetch_dataset(tmp_path, source="parquet", progress=False)
    assert hub.log == [HUB_FILES[0], *HUB_FILES]
    assert (tmp_path / HUB_FOLDER / HUB_FILES[0]).read_bytes() == hub.files[HUB_FILES[0]]


def test_a_failed_download_leaves_no_dataset_and_the_next_attempt_succeeds(hub, tmp_path):
    target = tmp_path / "downloads"
    hub.cuts = [100_000] + [0] * 20
    with pytest.raises(DataError, match="uoft-cs/cifar10"):
        fetch_dataset(target, source="parquet", progress=False)
    assert names(target) == [download._STAGING]
    hub.cuts = []
    fetch_dataset(target, source="parquet", progress=False)
    assert names(target) == [HUB_FOLDER]


def test_one_of_two_files_is_no_dataset_and_is_not_downloaded_again(hub, cache):
    last = hub.files.pop(HUB_FILES[1])
    with pytest.raises(DataError, match="404"):
        open_dataset(source="parquet", progress=False)
    hub.files[HUB_FILES[1]] = last
    hub.log = []
    open_dataset(source="parquet", progress=False)
    assert hub.log == [HUB_FILES[1]]


@pytest.mark.parametrize("cuts", [[], [1000]])
def test_the_tarball_is_downloaded_if_the_hub_fails(server, mini, tmp_path, monkeypatch, cuts):
    path = mini.write_tarball(tmp_path / "mini.tar.gz")
    server.files["cifar-10-python.tar.gz"] = path.read_bytes()
    monkeypatch.setattr(download, "TARBALL_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    target = tmp_path / "downloads"
    server.cuts = cuts
    if cuts:
        with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: .*1000 bytes read"):
            fetch_dataset(target, progress=False)
        assert "cifar-10-python.tar.gz" not in names(target)
    fetch_dataset(target, progress=False)
    assert names(target) == ["cifar-10-python.tar.gz"]
    assert (target / "cifar-10-python.tar.gz").read_bytes() == path.read_bytes()


def test_an_altered_tarball_is_not_kept(server, tmp_path):
    server.files["cifar-10-python.tar.gz"] = b"not the tarball"
    with pytest.raises(DataError, match="c58f30108f718f92721af3b95e74349a"):
        fetch_dataset(tmp_path, source="tarball", progress=False)
    assert names(tmp_path) == []


def test_open_downloads_once_when_nothing_is_given(hub, cache, mini, assert_same_content):
    assert_same_content(open_dataset(progress=False), mini.train, mini.test)
    requests = len(hub.log)
    assert_same_content(open_dataset(progress=False), mini.train, mini.test)
    assert len(hub.log) == requests == 2


def test_progress_goes_to_stderr_and_starts_no_thread(hub, cache, capsys):
    threads = threading.active_count()
    open_dataset()
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading train-00000-of-00001.parquet" in err
    assert "Decoding parquet: 100%" in err
    assert threading.active_count() <= threads + 1  # of the server, which keeps a connection open


def test_without_a_network_one_line_says_what_to_do(cache, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with Server() as closed:
        pass  # nothing listens at this address any more
    use(closed, monkeypatch)
    with pytest.raises(DataError) as caught:
        open_dataset(progress=False)
    message = str(caught.value)
    for part in ("uoft-cs/cifar10", "tar.gz", "refused", "--data.root", "CIFAR_DATA_DIR", "synthetic"):
        assert part in message
    assert len(message.splitlines()) == 1
    assert not list(cache.rglob("*.parquet"))


@pytest.mark.parametrize("source", ["batches", "folder"])
def test_other_layouts_cannot_be_downloaded(cache, source):
    with pytest.raises(DataError, match=f"{source!r} cannot be downloaded"):
        open_dataset(source=source, progress=False)


def test_a_given_root_is_never_replaced_by_a_download(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_data.sources.open.fetch_dataset", lambda *_, **__: pytest.fail("downloaded"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing, it is empty"):
        open_dataset(tmp_path / "empty", progress=False)
    monkeypatch.setenv("CIFAR_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"CIFAR_DATA_DIR .*none does not exist"):
        open_dataset(progress=False)
