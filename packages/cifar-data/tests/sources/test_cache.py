"""The cache: whole entries or none, decoded once, rebuilt when damaged, clear errors when it cannot be written."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

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
    """The layouts decoded in this process."""
    calls = []
    original = sources.read_layout
    monkeypatch.setattr(sources, "read_layout", lambda *a, **k: calls.append(a) or original(*a, **k))
    return calls


@pytest.fixture
def entry(root, cache):
    """The entry of the root, written."""
    open_dataset(root)
    return entry_path(find_layout(root), cache)


def visible(cache):
    """Everything in the cache but locks, which are empty."""
    return sorted(path.name for path in cache.glob("decoded/*") if path.suffix != ".lock")


def test_images_are_decoded_once_then_opened_as_read_only_maps(root, cache, reads, monkeypatch):
    first = open_dataset(root)
    monkeypatch.chdir(root.parent)
    second = open_dataset(root.name)  # one place has one entry
    assert len(reads) == 1
    assert isinstance(first.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second.train.images[0] = 0
    assert (first.fingerprint, first.mean, first.classes) == (second.fingerprint, second.mean, second.classes)
    assert visible(cache) == [entry_path(find_layout(root), cache).name]


def test_a_changed_source_is_decoded_again(root, entry, reads):
    path = root / "train-00000-of-00001.parquet"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    open_dataset(root)
    assert len(reads) == 1


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
    assert len(reads) == 1
    assert "is damaged" in caplog.text
    assert path.read_bytes() == whole
    assert visible(cache) == [entry.name]


def test_a_failed_write_leaves_the_cache_as_it_was(root, cache, entry, monkeypatch):
    (entry / "test_labels.npy").unlink()
    before = {p.name: p.read_bytes() for p in entry.iterdir()}

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    new = cache.with_name("new")
    for place in (cache, new):
        with pytest.raises(DataError, match=rf"folder {place}: No space left.*CIFAR_CACHE_DIR .* 190 MB"):
            open_dataset(root, cache_dir=place)
    assert {p.name: p.read_bytes() for p in entry.iterdir()} == before
    assert (visible(cache), visible(new)) == ([entry.name], [])


def test_a_source_that_changes_while_it_is_read_is_rejected(root, cache, monkeypatch):
    original = sources.read_layout

    def read(layout, **options):
        os.utime(layout.train[0], ns=(0, 1))
        return original(layout, **options)

    monkeypatch.setattr(sources, "read_layout", read)
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

    def fail(*_):
        raise NotImplementedError("no flock here")

    with monkeypatch.context() as patch:
        patch.setattr("cifar_data.dataset.cache.FileLock.acquire", fail)
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


def start(code, *arguments):
    """Starts a process with the code, and waits until it has printed a line."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, text=True, **pipes)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


@pytest.mark.slow
def test_of_several_processes_one_decodes(root, cache, tmp_path):
    code = """
        import sys, time
        from cifar_data import open_dataset
        from cifar_data.sources import open as sources
        original = sources.read_layout
        def read(layout, **options):
            with open(sys.argv[2], "a") as log:
                log.write("decoded\\n")
            time.sleep(0.5)
            return original(layout, **options)
        sources.read_layout = read
        print("ready", flush=True)
        sys.stdin.readline()
        print(open_dataset(sys.argv[1], progress=False).fingerprint)
    """
    processes = [start(code, root, tmp_path / "log") for _ in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = {process.communicate()[0] for process in processes}
    assert (tmp_path / "log").read_text("utf-8") == "decoded\n"
    assert results == {open_dataset(root).fingerprint + "\n"}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("stop_at", ["train_images.npy", "meta.json"])
def test_a_process_killed_while_it_writes_leaves_no_entry(root, cache, stop_at, mini):
    code = """
        import os, sys, time
        from cifar_data import open_dataset
        original = os.fsync
        def fsync(file):
            if os.readlink(f"/proc/self/fd/{file}").endswith(sys.argv[2]):
                os.ftruncate(file, os.fstat(file).st_size // 2)
                print("ready", flush=True)
                time.sleep(60)
            original(file)
        os.fsync = fsync
        open_dataset(sys.argv[1], progress=False)
    """
    process = start(code, root, stop_at)
    process.kill()
    process.communicate()
    entry = entry_path(find_layout(root), cache)
    assert not entry.exists()
    assert load_entry(entry) is None
    mini.check(open_dataset(root))
    assert visible(cache) == [entry.name]  # the rest of the killed process is gone
