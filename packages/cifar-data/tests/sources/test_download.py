"""Downloads from a local server in place of the Hub and the authors, which also breaks off and goes away."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from cifar_data import DataError, open_dataset
from cifar_data.dataset.fingerprint import TARBALL
from cifar_data.sources import download
from cifar_data.sources.download import HUB_FILES, HUB_FOLDER, fetch_dataset


class Server(http.server.ThreadingHTTPServer):
    """Serves the files of a folder; each entry of `cuts` ends one answer after so many bytes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.cuts: list[int] = []
        self.log: list[str] = []

    def use(self, monkeypatch) -> None:
        """Downloads come from this server from now on."""
        url = f"http://127.0.0.1:{self.server_port}"
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(download, "TARBALL_URL", f"{url}/{TARBALL}")
        monkeypatch.setattr("time.sleep", lambda _: None)  # between the attempts of the libraries


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def translate_path(self, path: str) -> str:
        return str(self.server.folder / Path(path).name)

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("ETag", f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c" * 40)
        super().end_headers()

    def copyfile(self, source, outputfile) -> None:
        self.server.log.append(Path(self.path).name)
        outputfile.write(source.read(self.server.cuts.pop(0) if self.server.cuts else None))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    """A server in place of the Hub and the authors, without any files."""
    if constants.HF_HUB_OFFLINE:
        pytest.skip("HF_HUB_OFFLINE is set")
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as server:
        server.use(monkeypatch)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(server, mini) -> Server:
    """The server with the Parquet files of the mini dataset."""
    mini.write_parquet(server.folder)
    return server


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_broken_connection_to_the_hub_is_tried_again(hub, tmp_path):
    hub.cuts = [100_000]
    fetch_dataset(tmp_path / "downloads", progress=False)
    assert hub.log == [HUB_FILES[0], *HUB_FILES]
    assert names(tmp_path / "downloads") == [HUB_FOLDER]
    for name in HUB_FILES:
        assert (tmp_path / "downloads" / HUB_FOLDER / name).read_bytes() == (hub.folder / name).read_bytes()


def test_one_of_two_files_is_no_dataset_and_is_not_downloaded_again(hub, cache):
    (hub.folder / HUB_FILES[1]).rename(hub.folder / "hidden")
    with pytest.raises(DataError, match=r"uoft-cs/cifar10: .*404"):
        open_dataset(source="parquet", progress=False)
    assert names(cache / "downloads") == [download._STAGING]
    (hub.folder / "hidden").rename(hub.folder / HUB_FILES[1])
    hub.log = []
    open_dataset(source="parquet", progress=False)
    assert hub.log == [HUB_FILES[1]]
    assert names(cache / "downloads") == [HUB_FOLDER]


@pytest.mark.parametrize("cuts", [[], [1000]])
def test_the_tarball_is_downloaded_if_the_hub_fails(server, mini, tmp_path, monkeypatch, cuts):
    whole = mini.write_tarball(server.folder / TARBALL).read_bytes()
    monkeypatch.setattr(download, "TARBALL_MD5", hashlib.md5(whole).hexdigest())
    target = tmp_path / "downloads"
    server.cuts = cuts
    if cuts:
        with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: .*1000 bytes read"):
            fetch_dataset(target, progress=False)
        assert TARBALL not in names(target)
    fetch_dataset(target, progress=False)
    assert names(target) == [TARBALL]
    assert (target / TARBALL).read_bytes() == whole


def test_an_altered_tarball_is_not_kept(server, tmp_path):
    (server.folder / TARBALL).write_bytes(b"not the tarball")
    with pytest.raises(DataError, match="c58f30108f718f92721af3b95e74349a"):
        fetch_dataset(tmp_path / "downloads", source="tarball", progress=False)
    assert names(tmp_path / "downloads") == []


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


def test_without_a_network_one_line_says_what_to_do(cache, tmp_path, monkeypatch):
    with Server(tmp_path) as closed:
        closed.use(monkeypatch)
    # Nothing listens at this address any more.
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
