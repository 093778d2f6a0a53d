import socket
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest

import cifar_space
import cifar_space.artifacts.files
import cifar_space.ui.server
from cifar_explain import make_gallery, write_gallery
from cifar_models import load_weights
from cifar_space.cli import main, served_files
from cifar_space.publish.bundle_manifest import check_bundle


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What the command starts, without a server."""
    pages: list[SimpleNamespace] = []

    def start(service: object, *, host: str, port: int) -> SimpleNamespace:
        page = SimpleNamespace(
            service=service,
            host=host,
            port=port,
            local_url=f"http://{host}:{port}/",
            block_thread=lambda: None,
        )
        pages.append(page)
        return page

    monkeypatch.setattr(cifar_space.ui.server, "start", start)
    return pages


def test_serves_a_weights_file(
    weights_file: Path, started: list[SimpleNamespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--weights", str(weights_file)]) == 0
    (page,) = started
    assert (page.host, page.port) == ("127.0.0.1", 7860)
    assert page.service.weights.architecture == "whitenet"
    assert capsys.readouterr().out == f"cifar-space: whitenet from {weights_file} at http://127.0.0.1:7860/\n"


def test_serves_a_run(weights_file: Path, started: list[SimpleNamespace]) -> None:
    assert main(["--run", str(weights_file.parent), "--host", "0.0.0.0", "--port", "65535"]) == 0
    assert (started[0].host, started[0].port) == ("0.0.0.0", 65535)


def test_serves_the_built_in_weights_by_default(
    weights_file: Path, started: list[SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar_space.artifacts.files, "DEFAULT_WEIGHTS", weights_file)
    # The built-in gallery and report are of the built-in weights.
    monkeypatch.setattr(cifar_space.artifacts.files, "ASSETS", weights_file.parent)
    assert main([]) == 0
    assert len(started) == 1


def test_a_missing_file_is_one_line(
    tmp_path: Path,
    started: list[SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cifar_space.artifacts.files, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    cases = [
        ([], "no built-in weights"),
        (["--weights", "no.pt"], "no.pt"),
        (["--run", str(tmp_path)], "no run"),
        (["--run", str(tmp_path / "gone")], "no run"),
        (["--weights", str(tmp_path)], "there is no file"),
        (["build", "--out", str(tmp_path / "out")], "no built-in weights"),
        (["build", "--out", str(tmp_path / "out"), "--run", "gone"], "no run"),
        (["deploy", "--repo-id", "user/name"], "no built-in weights"),
        (["deploy", "--repo-id", "user/name", "--bundle", str(tmp_path)], "is no bundle"),
    ]
    for args, told in cases:
        assert main(args) == 2
        error = capsys.readouterr().err
        assert error.startswith("cifar-space: ")
        assert told in error
        assert error.count("\n") == 1
    assert started == []


def test_refuses_a_file_that_is_no_weights_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\x04not weights")
    assert main(["--weights", str(path)]) == 2
    assert f"cannot load {path}" in capsys.readouterr().err


def command(*args: str) -> subprocess.CompletedProcess[str]:
    code = "from cifar_space.cli import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False, timeout=400
    )


def test_tells_that_a_port_is_in_use(weights_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("--weights", str(weights_file), "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == f"cifar-space: port {port} is in use; choose another with --port\n"


def test_tells_that_an_address_is_none_of_this_machine(weights_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    # Of the documentation's own addresses (RFC 5737), which no machine has.
    done = command("--weights", str(weights_file), "--host", "192.0.2.1", "--port", str(port))
    assert done.returncode == 2
    assert f"cifar-space: cannot listen at 192.0.2.1, port {port}: " in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "args",
    [
        ["--port", "0"],
        ["--port", "65536"],
        ["--port", "x"],
        ["--port", "-1"],
        ["--weights", "a", "--run", "b"],
        ["a"],
        ["--port", "8000", "build"],
        ["build"],
        ["build", "--out"],
        ["build", "--out", "a", "--torch", "cuda"],
        ["build", "--out", "a", "--dtype", "int8"],
        ["build", "--out", "a", "--run", "b", "--weights", "c"],
        ["deploy"],
        ["deploy", "--repo-id", "user/name", "--run", "a", "--bundle", "b"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_end_in_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(args)
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("cifar-space")
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.fixture
def gallery(weights_file: Path, tmp_path: Path) -> Path:
    weights = load_weights(weights_file)
    rows = np.full((2, 10), 0.1)
    images = np.zeros((2, 32, 32, 3), np.uint8)
    names = weights.spec.classes
    made = make_gallery(rows, np.array([0, 1]), images, class_names=names, weights_sha256=weights.sha256)
    write_gallery(made, tmp_path / "made")
    return tmp_path / "made"


def test_a_gallery_may_lie_elsewhere(weights_file: Path, gallery: Path, tmp_path: Path) -> None:
    given = Namespace(run=None, weights=weights_file, gallery=gallery)
    assert served_files(given).gallery == gallery
    given.gallery = tmp_path
    with pytest.raises(FileNotFoundError, match=r"has no gallery\.npz"):
        served_files(given)


def test_builds(
    weights_file: Path, gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    args = ["build", "--weights", str(weights_file), "--out", str(out)]
    assert main([*args, "--gallery", str(gallery)]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{out}  ")
    assert told.err == ""
    manifest = check_bundle(out)
    assert manifest.torch == "cpu"
    assert "cifar_space/assets/gallery/gallery.png" in manifest.files
    # What is missing is told.
    assert main([*args, "--torch", "any"]) == 0
    assert "without a gallery; one is made by `uv run cifar-train gallery" in capsys.readouterr().err
    assert check_bundle(out).torch == "any"
    assert main([*args, "--gallery", str(gallery), "--dtype", "float16"]) == 0
    assert "without a gallery, since it is of the weights before --dtype float16" in capsys.readouterr().err
    (gallery / "gallery.png").unlink()
    assert main([*args, "--gallery", str(gallery)]) == 0
    assert "without the images of the errors" in capsys.readouterr().err


def test_build_leaves_other_files_alone(
    weights_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["build", "--weights", str(weights_file), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cifar-space: ")
    assert "holds other files and is left as it is" in error
    assert error.count("\n") == 1
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_deploys_a_run_in_one_step(
    weights_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    args = ["deploy", "--repo-id", "user/name", "--dry-run"]
    assert main([*args, "--weights", str(weights_file), "--torch", "zerogpu"]) == 0
    told = capsys.readouterr().out
    assert "cifar_space/assets/model.safetensors" in told
    assert "space_hardware='zero-a10g'" in told
    for wrong, reason in [
        (["--bundle", "a", "--torch", "any"], "settled in a bundle"),
        (["--run", "a"], "no run"),
    ]:
        assert main([*args, *wrong]) == 2
        assert reason in capsys.readouterr().err
    assert main(["deploy", "--repo-id", "name", "--dry-run", "--weights", str(weights_file)]) == 2
    assert "repo_id must be USER/NAME" in capsys.readouterr().err


def test_without_a_token_nothing_is_built(
    weights_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cifar_space.publish.bundle

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    monkeypatch.setattr(
        cifar_space.publish.bundle, "build_bundle", lambda *_, **__: pytest.fail("it was built")
    )
    assert main(["deploy", "--repo-id", "user/name", "--weights", str(weights_file)]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("cifar-space: there is no Hub token")
    assert told.out == ""


def test_an_interrupted_build_is_no_success(
    weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cifar_space.publish.bundle

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cifar_space.publish.bundle, "build_bundle", interrupt)
    assert main(["build", "--weights", str(weights_file), "--out", str(tmp_path / "out")]) == 130


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            [],
            [
                "--host",
                "--port",
                "--run",
                "--weights",
                "--gallery",
                "cifar-space build",
                "cifar-space deploy",
            ],
        ),
        (["build"], ["--out", "--torch", "--dtype", "--run", "--weights", "--gallery"]),
        (["deploy"], ["--repo-id", "--private", "--dry-run", "--run", "--bundle", "--torch"]),
    ],
    ids=str,
)
def test_help_is_complete(command: list[str], told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main([*command, "--help"])
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert [option for option in told if option not in text] == []


def test_help_and_refusals_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from cifar_space.cli import main; "
        "assert main(['--run', 'gone']) == 2; print([name for name in ('torch', 'gradio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_all_public_names_are_there() -> None:
    missing = [name for name in cifar_space.__all__ if not hasattr(cifar_space, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cifar_space.nothing
