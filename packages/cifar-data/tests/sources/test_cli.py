"""The command: what it prints, and how it fails."""

import subprocess
import sys

import pytest
from PIL import Image

from cifar_data import cli
from cifar_data.cli import main
from cifar_data.sources import open as sources

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
    "left", [".plain_text.part/.train-00000-of-00001.parquet.part", ".cifar-10-python.tar.gz.part"]
)
def test_download_goes_on_after_an_interrupted_one(left, mini, cache, monkeypatch, capsys):
    part = cache / "downloads" / left
    part.parent.mkdir(parents=True)
    part.write_bytes(b"the beginning")

    def resume(target, **_):
        assert part.read_bytes() == b"the beginning"
        mini.write_parquet(target / "plain_text")

    monkeypatch.setattr(sources, "fetch_dataset", resume)
    assert main(["info"]) == 2
    assert "cifar-data download" in capsys.readouterr().err
    assert main(["download"]) == 0
    assert "fetching" in capsys.readouterr().out
    assert main(["download"]) == 0
    assert "there already" in capsys.readouterr().out


def test_download_fetches_the_layout_asked_for_beside_another(mini, cache, monkeypatch, capsys):
    (cache / "downloads").mkdir(parents=True)
    mini.write_tarball(cache / "downloads" / "cifar-10-python.tar.gz")
    monkeypatch.setattr(
        sources, "fetch_dataset", lambda target, **_: mini.write_parquet(target / "plain_text")
    )
    for words in ("fetching", "there already"):
        assert main(["download", "--source", "parquet"]) == 0
        assert words in capsys.readouterr().out


def test_a_download_is_decoded_once_also_by_way_of_a_link(mini, tmp_path, cache, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    cache.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    monkeypatch.setattr(
        sources, "fetch_dataset", lambda target, **_: mini.write_parquet(target / "plain_text")
    )
    assert main(["download"]) == 0
    assert main(["info"]) == 0
    assert len(list(cache.glob("decoded/[!.]*"))) == 1


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
