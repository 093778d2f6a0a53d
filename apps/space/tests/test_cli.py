from pathlib import Path
from types import SimpleNamespace

import pytest

import cifar_space.cli
import cifar_space.server
from cifar_space.cli import main


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

    monkeypatch.setattr(cifar_space.server, "start", start)
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
    monkeypatch.setattr(cifar_space.cli, "DEFAULT_WEIGHTS", weights_file)
    assert main([]) == 0
    assert len(started) == 1


def test_a_missing_file_is_one_line(
    tmp_path: Path,
    started: list[SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cifar_space.cli, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    cases = [
        ([], "no built-in weights"),
        (["--weights", "no.pt"], "no.pt"),
        (["--run", str(tmp_path)], "no run"),
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


def test_tells_that_a_port_is_taken(
    weights_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(service: object, *, host: str, port: int) -> None:
        raise OSError(f"port {port} is taken")

    monkeypatch.setattr(cifar_space.server, "start", start)
    assert main(["--weights", str(weights_file)]) == 2
    assert capsys.readouterr().err == "cifar-space: port 7860 is taken\n"


@pytest.mark.parametrize(
    "args",
    [
        ["--port", "0"],
        ["--port", "65536"],
        ["--port", "x"],
        ["--port", "-1"],
        ["--weights", "a", "--run", "b"],
        ["a"],
    ],
)
def test_wrong_arguments_end_in_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(args)
    assert exit.value.code == 2
    assert "usage: cifar-space" in capsys.readouterr().err
