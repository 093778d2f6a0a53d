"""The command: its output, and how it fails."""

import io
import subprocess
import sys
from unittest.mock import Mock

import pytest
from PIL import Image

import cifar_data
from cifar_data import cli
from cifar_data.cli import main

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def fetches(mini, monkeypatch):
    """The sources of all downloads, which bring the mini dataset."""
    sources = []

    def fetch(target, *, source, progress):
        sources.append(source)
        mini.write_parquet(target / "plain_text")

    monkeypatch.setattr("cifar_data.sources.open.fetch_dataset", fetch)
    return sources


def test_info_describes_the_images_and_checks_the_cache(mini, tmp_path, cache, capsys):
    root = mini.write_parquet(tmp_path / "data")
    assert main(["info", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    for part in ("200 training, 50 test", f"parquet {root}", "canonical       no", "intact", str(cache)):
        assert part in out
    path = next(cache.rglob("test_images.npy"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["info", "--root", str(root)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_download_is_done_once_and_decoded_once_also_through_a_link(fetches, tmp_path, cache, capsys):
    (tmp_path / "elsewhere").mkdir()
    cache.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for _ in range(2):
        assert main(["download"]) == 0
        assert "downloads/plain_text" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert fetches == ["auto"]
    assert len(list(cache.glob("decoded/[!.]*"))) == 1


def test_info_downloads_nothing_and_partial_files_are_ignored(fetches, cache, capsys):
    part = cache / "downloads" / ".hub" / "plain_text" / "train-00000-of-00001.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"the beginning")
    assert main(["info"]) == 2
    assert "cifar-data download" in capsys.readouterr().err
    assert fetches == []
    assert main(["download"]) == 0
    assert part.read_bytes() == b"the beginning"


def test_download_gets_the_layout_asked_for_beside_another(mini, cache, fetches):
    (cache / "downloads").mkdir(parents=True)
    mini.write_tarball(cache / "downloads" / "cifar-10-python.tar.gz")
    assert main(["download"]) == 0
    assert fetches == []
    for _ in range(2):
        assert main(["download", "--source", "parquet"]) == 0
    assert fetches == ["parquet"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["info", "--root", "/nonexistent/data"], "/nonexistent/data does not exist"),
        (["info", "--source", "parqet"], "did you mean parquet?"),
        (["download", "--source", "folder"], "source must be one of auto, parquet, tarball"),
    ],
)
def test_errors_are_one_message_and_exit_2(args, words, capsys):
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert err.startswith("cifar-data: ")
    assert words in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize("command", ["info", "download", "preview"])
def test_each_command_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "CIFAR_CACHE_DIR" in capsys.readouterr().out


def test_an_interruption_exits_130(monkeypatch):
    monkeypatch.setattr(cli, "make_synthetic", Mock(side_effect=KeyboardInterrupt))
    assert main(["info", "--source", "synthetic"]) == 130


def test_preview_writes_an_image(mini, tmp_path, monkeypatch):
    mini.write_folder(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["preview", "--root=~/data", "--out=~/preview.png", "--rows=2", "--columns=3"]) == 0
    with Image.open(tmp_path / "preview.png") as picture:
        assert picture.width > 3 * 32 * 3


@pytest.mark.parametrize(
    "make_stream",
    [
        lambda: Mock(encoding="ascii", **{"write.side_effect": BrokenPipeError}),  # its reader has gone
        lambda: None,
        lambda: io.TextIOWrapper(io.BytesIO(), "ascii"),
    ],
)
def test_streams_that_cannot_be_written_end_nothing(mini, tmp_path, cache, monkeypatch, make_stream):
    root = mini.write_folder(tmp_path / "\N{FROG FACE}")
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, make_stream())
    assert main(["info", "--root", str(root)]) == 0
    assert main(["info", "--root", str(tmp_path / "none")]) == 2
    assert next(cache.rglob("meta.json")).is_file()


@pytest.mark.slow  # the end of the process is the subject
def test_a_closed_pipe_at_the_end_is_no_error():
    code = "import sys; from cifar_data.cli import main; sys.exit(main(['info', '--source', 'synthetic']))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "numpy", "pyarrow", "lightning", "PIL"}
    code = f"import sys, cifar_data; print(*{heavy} & {{*sys.modules}})"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b""


def test_every_public_name_is_there():
    for name in cifar_data.__all__:
        assert getattr(cifar_data, name) is not None
    assert set(cifar_data.__all__) <= set(dir(cifar_data))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = cifar_data.nothing_like_this
