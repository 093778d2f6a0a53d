"""The cache: whole entries or none, decoded once, rebuilt when damaged, clear when it cannot be written."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from cifar_data import DataError, open_dataset
from cifar_data.dataset.cache import entry_path, load_entry, resolve_cache_dir
from cifar_data.sources import open as sources
from cifar_data.sources.open import find_layout


@pytest.fixture
def root(mini, tmp_path) -> Path:
    return mini.write_parquet(tmp_path / "data")


@pytest.fixture
def reads(monkeypatch) -> list:
    """What has been decoded, in this process."""
    calls = []
    original = sources.read_layout
    monkeypatch.setattr(sources, "read_layout", lambda *a, **k: calls.append(a) or original(*a, **k))
    return calls


def _entry(root: Path, cache: Path) -> Path:
    return entry_path(find_layout(root), cache)


def _visible(cache: Path) -> list[str]:
    """Everything in the cache but locks, which are empty."""
    folder = cache / "decoded"
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock") if folder.is_dir() else []


def test_decoded_once_then_opened_as_read_only_maps(root, cache, reads):
    first = open_dataset(root, progress=False)
    second = open_dataset(root, progress=False)
    assert len(reads) == 1
    assert isinstance(second.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second.train.images[0] = 0
    assert (first.fingerprint, first.mean, first.classes) == (second.fingerprint, second.mean, second.classes)
    assert _visible(cache) == [_entry(root, cache).name]


def test_one_place_has_one_entry(root, cache, reads, monkeypatch):
    open_dataset(root, progress=False)
    monkeypatch.chdir(root.parent)
    open_dataset(root.name, progress=False)
    assert len(reads) == 1


def test_a_changed_source_is_decoded_anew(root, cache, reads):
    open_dataset(root, progress=False)
    path = root / "train-00000-of-00001.parquet"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    open_dataset(root, progress=False)
    assert len(reads) == 2


def test_the_argument_goes_before_the_variable(root, cache, tmp_path):
    open_dataset(root, cache_dir=tmp_path / "other", progress=False)
    assert _visible(tmp_path / "other")
    assert not cache.exists()
    assert resolve_cache_dir() == cache


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "meta.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "longer"])
def test_a_damaged_entry_is_rebuilt(root, cache, reads, name, damage, caplog, assert_same_content, mini):
    open_dataset(root, progress=False)
    path = _entry(root, cache) / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "cut": whole[:-10], "longer": whole + b"}"}[damage])
    assert_same_content(open_dataset(root, progress=False), mini.train, mini.test)
    assert len(reads) == 2
    assert "is damaged" in caplog.text
    assert path.read_bytes() == whole
    assert _visible(cache) == [_entry(root, cache).name]


@pytest.mark.parametrize("change", [{"mean": None}, {"train_size": 7}, {"bytes": {}}, {"std": [0.1]}])
def test_bad_meta_is_rebuilt(root, cache, reads, change):
    whole = open_dataset(root, progress=False)
    path = _entry(root, cache) / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    again = open_dataset(root, progress=False)
    assert len(reads) == 2
    assert again.mean == whole.mean


def test_a_failed_rebuild_leaves_the_cache_as_it_was(root, cache, monkeypatch):
    open_dataset(root, progress=False)
    entry = _entry(root, cache)
    (entry / "test_labels.npy").unlink()
    before = {p.name: p.read_bytes() for p in entry.iterdir()}

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DataError, match=r"No space left.*CIFAR_CACHE_DIR .* 190 MB"):
        open_dataset(root, progress=False)
    assert {p.name: p.read_bytes() for p in entry.iterdir()} == before
    assert _visible(cache) == [entry.name]


def test_a_source_that_changes_while_it_is_read_is_refused(root, cache, monkeypatch):
    original = sources.read_layout

    def read(layout, **options):
        os.utime(layout.train[0], ns=(0, 1))
        return original(layout, **options)

    monkeypatch.setattr(sources, "read_layout", read)
    with pytest.raises(DataError, match="changed while it was read"):
        open_dataset(root, progress=False)
    assert _visible(cache) == []


def test_a_cache_that_cannot_be_made(root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot write to the cache folder .*file/cache.*CIFAR_CACHE_DIR"):
        open_dataset(root, cache_dir=tmp_path / "file" / "cache", progress=False)


def _run(code: str, *arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def test_of_several_processes_one_decodes(root, cache, tmp_path):
    code = """
        import os, sys, time
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
    processes = [_run(code, root, tmp_path / "log", stdin=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    results: list[tuple[str, str]] = []
    threads = [
        threading.Thread(target=lambda p=process: results.append(p.communicate("go\n")))
        for process in processes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "log").read_text() == "decoded\n"
    assert [p.returncode for p in processes] == [0] * 4
    assert {out for out, _ in results} == {open_dataset(root, progress=False).fingerprint + "\n"}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("stop_at", ["train_images.npy", "test_labels.npy", "meta.json"])
def test_killed_in_mid_write(root, cache, stop_at, mini, assert_same_content):
    code = """
        import os, sys, time
        from pathlib import Path
        from cifar_data import open_dataset
        from cifar_data.dataset import cache
        original = os.fsync
        def fsync(file):
            if os.readlink(f"/proc/self/fd/{file}").endswith(sys.argv[2]):
                os.ftruncate(file, os.fstat(file).st_size // 2)
                print("writing", flush=True)
                time.sleep(60)
            original(file)
        os.fsync = fsync
        open_dataset(sys.argv[1], progress=False)
    """
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    process = _run(code, root, stop_at)
    assert process.stdout.readline() == "writing\n", process.stderr.read()
    process.kill()
    process.communicate()
    entry = _entry(root, cache)
    assert not entry.exists()
    assert load_entry(entry) is None
    assert_same_content(open_dataset(root, progress=False), mini.train, mini.test)
    assert _visible(cache) == [entry.name]  # what the killed process left is gone


def test_a_full_disk_leaves_nothing(root, cache):
    pytest.importorskip("resource", reason="needs limits on the size of files")
    code = """
        import resource, sys
        from cifar_data import DataError, open_dataset
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            open_dataset(sys.argv[1], progress=False)
        except DataError as error:
            print(error)
    """
    out, error = _run(code, root).communicate()
    assert "CIFAR_CACHE_DIR" in out, error
    assert str(cache) in out
    assert _visible(cache) == []
