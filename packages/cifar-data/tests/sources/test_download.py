"""Downloads from a local server in place of the Hub and the authors, which also breaks off and goes away."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest
from huggingface_hub import constants

from cifar_data import DataError, open_dataset
from cifar_data.dataset.fingerprint import TARBALL
from cifar_data.sources import download
from cifar_data.sources.download import HUB_FILES, HUB_FOLDER, fetch_dataset


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the server's folder; each entry of its `cuts` ends one answer after so many bytes."""

    def translate_path(self, path):
        return str(self.server.folder / Path(path).name)

    def end_headers(self):
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("ETag", f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c" * 40)
        super().end_headers()

    def copyfile(self, source, outputfile):
        self.server.log.append(Path(self.path).name)
        outputfile.write(source.read(self.server.cuts.pop(0) if self.server.cuts else None))

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server in place of the Hub and the authors, without any files."""
    if constants.HF_HUB_OFFLINE:
        pytest.skip("HF_HUB_OFFLINE is set")
    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.folder, server.cuts, server.log = tmp_path / "served", [], []
        url = f"http://127.0.0.1:{server.server_port}"
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(download, "TARBALL_URL", f"{url}/{TARBALL}")
        monkeypatch.setattr("time.sleep", lambda _: None)  # between the attempts of the libraries
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hub(server, mini):
    """The server with the Parquet files of the mini dataset."""
    mini.write_parquet(server.folder)
    return server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_broken_connection_to_the_hub_is_tried_again(hub, target):
    hub.cuts = [100_000]
    fetch_dataset(target)
    assert hub.log == [HUB_FILES[0], *HUB_FILES]
    assert names(target) == [HUB_FOLDER]
    for name in HUB_FILES:
        assert (target / HUB_FOLDER / name).read_bytes() == (hub.folder / name).read_bytes()


def test_one_of_two_files_is_no_dataset_and_is_not_downloaded_again(hub, cache):
    (hub.folder / HUB_FILES[1]).rename(hub.folder / "hidden")
    with pytest.raises(DataError, match=r"uoft-cs/cifar10: .*404"):
        open_dataset(source="parquet")
    assert names(cache / "downloads") == [download._STAGING]
    (hub.folder / "hidden").rename(hub.folder / HUB_FILES[1])
    hub.log = []
    open_dataset(source="parquet")
    assert hub.log == [HUB_FILES[1]]
    assert names(cache / "downloads") == [HUB_FOLDER]


def test_the_tarball_replaces_a_failing_hub_and_is_not_kept_if_altered_or_cut(
    server, mini, target, monkeypatch
):
    (server.folder / TARBALL).write_bytes(b"not the tarball")
    with pytest.raises(DataError, match="c58f30108f718f92721af3b95e74349a"):
        fetch_dataset(target, source="tarball")
    assert names(target) == []
    whole = mini.write_tarball(server.folder / TARBALL).read_bytes()
    monkeypatch.setattr(download, "TARBALL_MD5", hashlib.md5(whole).hexdigest())
    server.cuts = [1000]
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: .*1000 bytes read"):
        fetch_dataset(target)
    assert TARBALL not in names(target)
    fetch_dataset(target)
    assert names(target) == [TARBALL]
    assert (target / TARBALL).read_bytes() == whole


def test_open_downloads_once_when_nothing_is_given_and_its_progress_goes_to_stderr(hub, cache, mini, capsys):
    threads = threading.active_count()
    mini.check(open_dataset())
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading train-00000-of-00001.parquet" in err
    assert "Decoding parquet: 100%" in err
    assert threading.active_count() <= threads + 1  # of the server, which keeps a connection open
    mini.check(open_dataset())
    assert len(hub.log) == 2


def test_without_a_network_one_line_says_what_to_do(server, cache):
    server.socket.close()  # so that nothing listens at this address any more
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
        open_dataset(source=source)


def test_a_given_root_is_never_replaced_by_a_download(cache, tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_data.sources.open.fetch_dataset", lambda *_, **__: pytest.fail("downloaded"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="nothing, it is empty"):
        open_dataset(tmp_path / "empty")
    monkeypatch.setenv("CIFAR_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"CIFAR_DATA_DIR .*none does not exist"):
        open_dataset()
