"""The cache: whole entries or none, decoded once, rebuilt when damaged, clear errors when it cannot be written."""

import errno
import json
import multiprocessing
import os
import time
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest

from cifar_data import DataError, open_dataset
from cifar_data.dataset.cache import entry_path, load_entry, resolve_cache_dir
from cifar_data.sources import open as sources
from cifar_data.sources.open import find_layout


@pytest.fixture
def root(mini, tmp_path):
    return mini.write_parquet(tmp_path / "data")


@pytest.fixture
def reads(monkeypatch):
    """Counts the layouts decoded in this process."""
    read_layout = Mock(wraps=sources.read_layout)
    monkeypatch.setattr(sources, "read_layout", read_layout)
    return read_layout


@pytest.fixture
def entry(root, cache):
    """The entry of the root, written."""
    open_dataset(root)
    return entry_path(find_layout(root), cache)


def visible(cache):
    """Everything in the cache but locks, which are empty."""
    return sorted(path.name for path in cache.glob("decoded/*") if path.suffix != ".lock")


def test_images_are_decoded_once_until_they_change_and_opened_as_read_only_maps(
    root, cache, reads, monkeypatch
):
    first = open_dataset(root)
    monkeypatch.chdir(root.parent)
    second = open_dataset(root.name)  # one place has one entry
    reads.assert_called_once()
    assert isinstance(first.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second.train.images[0] = 0
    assert (first.fingerprint, first.mean, first.classes) == (second.fingerprint, second.mean, second.classes)
    assert visible(cache) == [entry_path(find_layout(root), cache).name]
    path = root / "train-00000-of-00001.parquet"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    open_dataset(root)
    assert reads.call_count == 2


def damages():
    for name in ("train_images.npy", "test_labels.npy", "meta.json"):
        for damage in (lambda _: None, lambda _: b"", lambda whole: whole[:-10]):
            yield name, damage
    yield "test_labels.npy", lambda whole: whole.replace(b"<i8", b"<f8")
    yield "meta.json", lambda whole: whole + b"}"
    for change in ({"mean": None}, {"std": [0.1]}):
        yield "meta.json", lambda whole, change=change: json.dumps(json.loads(whole) | change).encode()


@pytest.mark.parametrize(("name", "damage"), list(damages()))
def test_a_damaged_entry_is_rebuilt(root, cache, entry, reads, name, damage, caplog, mini):
    path = entry / name
    whole = path.read_bytes()
    damaged = damage(whole)
    path.unlink() if damaged is None else path.write_bytes(damaged)
    mini.check(open_dataset(root))
    reads.assert_called_once()
    assert "is damaged" in caplog.text
    assert path.read_bytes() == whole
    assert visible(cache) == [entry.name]


def test_a_failed_write_leaves_the_cache_as_it_was(root, cache, entry, monkeypatch):
    (entry / "test_labels.npy").unlink()
    before = {p.name: p.read_bytes() for p in entry.iterdir()}
    monkeypatch.setattr("os.fsync", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    new = cache.with_name("new")
    for place in (cache, new):
        with pytest.raises(DataError, match=rf"folder {place}: No space left.*CIFAR_CACHE_DIR .* 190 MB"):
            open_dataset(root, cache_dir=place)
    assert {p.name: p.read_bytes() for p in entry.iterdir()} == before
    assert (visible(cache), visible(new)) == ([entry.name], [])


def test_a_source_that_changes_while_it_is_read_is_rejected(root, cache, reads):
    def change(layout, **_):
        os.utime(layout.train[0], ns=(0, 1))
        return DEFAULT  # then what is wrapped is called

    reads.side_effect = change
    with pytest.raises(DataError, match="changed while it was read"):
        open_dataset(root)
    assert visible(cache) == []


@pytest.mark.parametrize("by_variable", [False, True])
def test_paths_may_begin_with_the_home_folder(root, cache, tmp_path, monkeypatch, by_variable):
    monkeypatch.setenv("HOME", str(tmp_path))
    if by_variable:
        monkeypatch.setenv("CIFAR_DATA_DIR", "~/data")
        monkeypatch.setenv("CIFAR_CACHE_DIR", "~/other")
    places = {} if by_variable else {"root": "~/data", "cache_dir": Path("~/other")}
    assert open_dataset(**places).origin == f"parquet {root}"
    assert visible(tmp_path / "other")
    assert not cache.exists()  # the argument has precedence over the variable


def test_a_cache_that_cannot_be_used_is_named_with_the_way_out(root, cache, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write to the cache folder .*file/cache.*CIFAR_CACHE_DIR"):
        open_dataset(root, cache_dir=tmp_path / "file" / "cache")
    fails = Mock(side_effect=NotImplementedError("no flock here"))
    with monkeypatch.context() as patch:
        patch.setattr("cifar_data.dataset.cache.FileLock.acquire", fails)
        with pytest.raises(DataError, match=r"cache: no flock here\. Set CIFAR_CACHE_DIR to .* lock files"):
            open_dataset(root)
    for place in ("root", "cache_dir"):
        with pytest.raises(DataError, match=r"~nobody-here: .* home"):
            open_dataset(**{"root": root, place: "~nobody-here"})
    for name in ("CIFAR_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it does for an unknown user
    with pytest.raises(DataError, match=r"home .*Set CIFAR_CACHE_DIR to a writable folder"):
        resolve_cache_dir()


class Fork(multiprocessing.get_context("fork").Process):
    """A process with all that this one has patched."""

    def __init__(self, target, *arguments):
        super().__init__(target=target, args=arguments, kwargs={"progress": False})
        self.start()

    def end(self):
        self.join(60)
        return self.exitcode


def test_of_several_processes_one_decodes(root, cache, tmp_path, monkeypatch):
    original, log = sources.read_layout, tmp_path / "log"

    def read(layout, **options):
        with log.open("a") as file:
            file.write("decoded\n")
        time.sleep(0.5)
        return original(layout, **options)

    monkeypatch.setattr(sources, "read_layout", read)
    processes = [Fork(open_dataset, root) for _ in range(4)]
    assert [process.end() for process in processes] == [0] * 4
    assert log.read_text() == "decoded\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("stop_at", ["train_images.npy", "meta.json"])
def test_a_process_killed_while_it_writes_leaves_no_entry(root, cache, stop_at, mini, monkeypatch):
    def fsync(file):
        if Path(f"/proc/self/fd/{file}").readlink().name == stop_at:
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os._exit(9)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        assert Fork(open_dataset, root).end() == 9
    entry = entry_path(find_layout(root), cache)
    assert not entry.exists()
    assert load_entry(entry) is None
    mini.check(open_dataset(root))
    assert visible(cache) == [entry.name]  # the rest of the killed process is gone
