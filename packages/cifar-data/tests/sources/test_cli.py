"""The command: what it prints, and how it fails."""

import subprocess
import sys

import pytest
from PIL import Image

from cifar_data import cli, sources
from cifar_data.cli import main

pytestmark = pytest.mark.usefixtures("cache")


def test_info(mini, tmp_path, cache, capsys):
    root = mini.write_parquet(tmp_path / "data")
    assert main(["info", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    for part in (
        "200 training, 50 test",
        f"parquet in {root}",
        "canonical       no",
        "read in full",
        str(cache),
    ):
        assert part in out


def test_info_finds_an_altered_cache(mini, tmp_path, cache, capsys):
    root = mini.write_parquet(tmp_path / "data")
    assert main(["info", "--root", str(root)]) == 0
    path = next(cache.rglob("test_images.npy"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["info", "--root", str(root)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_info_of_synthetic_images(capsys):
    assert main(["info", "--source", "synthetic"]) == 0
    assert "10,000 training, 2,000 test" in capsys.readouterr().out


def test_info_downloads_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sources, "fetch_dataset", lambda *_, **__: pytest.fail("downloaded"))
    assert main(["info"]) == 2
    assert "cifar-data download" in capsys.readouterr().err


def test_download_then_there_already(mini, monkeypatch, capsys):
    monkeypatch.setattr(
        sources, "fetch_dataset", lambda target, **_: mini.write_parquet(target / "plain_text")
    )
    assert main(["download"]) == 0
    assert "fetching" in capsys.readouterr().out
    assert main(["download"]) == 0
    assert capsys.readouterr().out.count("there already") == 2


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


@pytest.mark.parametrize("args", [[], ["inf"], ["info", "--rot", "x"]])
def test_wrong_arguments_exit_2(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2


def test_interrupted(monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "make_synthetic", interrupt)
    assert main(["info", "--source", "synthetic"]) == 130


def test_preview(mini, tmp_path):
    root = mini.write_folder(tmp_path / "data")
    out = tmp_path / "preview.png"
    assert main(["preview", "--root", str(root), "--out", str(out), "--rows", "2", "--columns", "3"]) == 0
    with Image.open(out) as picture:
        assert picture.width > 3 * 32 * 3


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, cifar_data; cifar_data.DataError; "
        "print(*({'torch', 'numpy', 'pyarrow', 'lightning', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_is_there():
    import cifar_data

    for name in cifar_data.__all__:
        assert getattr(cifar_data, name) is not None
    assert set(cifar_data.__all__) <= set(dir(cifar_data))
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = cifar_data.nothing_like_this
