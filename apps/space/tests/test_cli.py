"""The command `cifar-space`."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import huggingface_hub
import pytest

import cifar_space.ui.server
from cifar_space.artifacts import files
from cifar_space.cli import main
from cifar_space.publish import bundle

MAIN = [sys.executable, "-c", "from cifar_space.cli import main; raise SystemExit(main())"]


@pytest.fixture
def start(monkeypatch):
    """Stands in for the function that serves a service at an address."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # which the command sets for its process
    monkeypatch.setattr("signal.signal", lambda *_: None)
    page = SimpleNamespace(local_url="http://here/", block_thread=lambda: None)
    monkeypatch.setattr(cifar_space.ui.server, "start", start := Mock(return_value=page))
    return start


def test_serves_a_weights_file_of_the_home_folder(weights_file, start, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(weights_file.parent))
    assert main([f"--weights=~/{weights_file.name}"]) == 0
    assert start.call_args.kwargs == {"host": "127.0.0.1", "port": 7860}
    assert capsys.readouterr().out == f"cifar-space: whitenet from {weights_file} at http://here/\n"


def test_serves_a_run_at_the_address_of_options_or_gradios_variables(run_folder, start, monkeypatch):
    monkeypatch.setenv("HOME", str(run_folder))
    monkeypatch.setenv("GRADIO_SERVER_NAME", "::")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8000")
    run = ["--run=~", "--gallery=~/gallery"]
    assert main(run) == main([*run, "--host", "0.0.0.0", "--port", "65535"]) == 0
    addresses = [tuple(call.kwargs.values()) for call in start.call_args_list]
    assert addresses == [("::", 8000), ("0.0.0.0", 65535)]
    assert start.call_args.args[0].misclassified is not None


UNREAD = Mock(write=Mock(side_effect=BrokenPipeError))


@pytest.mark.parametrize("stream", [UNREAD, io.TextIOWrapper(io.BytesIO(), "ascii")], ids=["pipe", "ascii"])
def test_nothing_printed_ends_the_server(weights_file, tmp_path, start, monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["--weights", str(shutil.copy(weights_file, tmp_path / "poids-é.safetensors"))]) == 0
    with sys.stdout:
        print("more")
    start.assert_called_once()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "no built-in weights"),
        ("--weights no.pt", "no.pt"),
        ("--run gone", "no run"),
        ("--weights {folder}", "there is no file"),
        ("--weights {folder}/broken.safetensors", "cannot load"),
        ("--weights {weights} --gallery {folder}", "has no gallery.npz"),
        ("build --out {folder}/out", "no built-in weights"),
        ("build --out {folder}/out --run gone", "no run"),
        ("build --out {folder} --weights {weights}", "left as it is"),
        ("deploy --repo-id user/name", "no built-in weights"),
        ("deploy --repo-id user/name --bundle {folder}", "is no bundle"),
        ("deploy --repo-id user/name --weights {weights}", "there is no Hub token"),
        ("deploy --repo-id name --dry-run --weights {weights}", "repo_id must be USER/NAME"),
    ],
)
def test_errors_of_files_are_one_line(args, message, weights_file, tmp_path, start, monkeypatch, capsys):
    monkeypatch.setattr(files, "DEFAULT_WEIGHTS", tmp_path / "none.safetensors")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    (tmp_path / "broken.safetensors").write_bytes(b"\x80\x04not weights")
    assert main(args.format(folder=tmp_path, weights=weights_file).split()) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("cifar-space: ")
    assert message in error
    start.assert_not_called()
    assert [path.name for path in tmp_path.iterdir()] == ["broken.safetensors"]


@pytest.mark.parametrize(
    "words",
    [
        *("--port 0", "--port x", "--weights a --run b", "a", "--port 8000 build --out a", "build", "deploy"),
        *("build --out a --torch cuda", "build --out a --dtype int8", "build --out a --run b --weights c"),
        *("deploy --repo-id a/b --run a --bundle b", "deploy --repo-id a/b --torch any --bundle b"),
    ],
)
def test_wrong_arguments_name_the_help(words, capsys):
    assert main(words.split()) == 2
    assert "--help" in capsys.readouterr().err


def test_help_and_errors_do_not_wait_for_torch():
    code = "import sys; from cifar_space.cli import main; print(main(['--run', 'gone']), main(['--help']), "
    code += "{'torch', 'gradio'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("2 0 set()\n")


def test_help_that_nobody_reads_is_no_error():
    with subprocess.Popen([*MAIN, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


PORT_TAKEN = OSError("Cannot find empty port in range: 1-1.")  # Gradio's words for all that is wrong


@pytest.mark.parametrize(
    ("host", "error", "message"),
    [
        ("127.0.0.1", PORT_TAKEN, "^port {port} is in use; choose another with --port$"),
        # Of the documentation's own addresses (RFC 5737), which no machine has.
        ("192.0.2.1", PORT_TAKEN, r"^cannot listen at 192\.0\.2\.1, port {port}: "),
        ("127.0.0.1", FileExistsError(17, "no", "/gradio"), "'/gradio'; GRADIO_TEMP_DIR names the folder"),
    ],
)
def test_the_reason_why_a_page_cannot_be_served_is_named(service, monkeypatch, host, error, message):
    monkeypatch.setattr(cifar_space.ui.server, "build_page", lambda *_: Mock(launch=Mock(side_effect=error)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=message.format(port=port)):
            cifar_space.ui.server.start(service, host=host, port=port)


@pytest.mark.slow
@pytest.mark.parametrize(
    "proxies", [{"http_proxy": "http://127.0.0.1:9"}, {"ALL_PROXY": "socks4://127.0.0.1:9"}]
)
def test_the_process_starts_whatever_the_proxies_and_leaves_nothing_behind(weights_file, tmp_path, proxies):
    (tmp_path / "gradio").write_text("where Gradio's folder would be")
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {**proxies, "TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [*MAIN, "--weights", str(weights_file), "--port", str(port)]
    with subprocess.Popen(command, env=environment, **pipes) as process:
        assert process.stderr.readline() == f"cifar-space: loading {weights_file} ...\n"
        assert process.stdout.readline().endswith(f"at http://127.0.0.1:{port}/\n")
        process.terminate()
    assert process.returncode == 143
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith("torchinductor")]
    assert left == ["gradio"]


def test_build_says_what_the_bundle_lacks(run_folder, tmp_path, capsys):
    out, gallery, bare = tmp_path / "out", run_folder / "gallery", tmp_path / "bare"
    bare.mkdir()
    shutil.copy(gallery / "gallery.npz", bare)
    args = ["build", "--out", out, "--weights", run_folder / "model.safetensors", "--torch", "any"]
    for more, told in (
        (["--gallery", gallery], "^$"),
        ([], "without a gallery; `uv run cifar-train gallery"),
        (["--gallery", gallery, "--dtype", "float16"], "belongs to the weights before --dtype float16"),
        (["--gallery", bare], "without the images of the errors"),
    ):
        assert main([str(word) for word in (*args, *more)]) == 0
        said = capsys.readouterr()
        assert said.out.startswith(f"{out}  ")
        assert re.search(told, said.err)
        assert (out / "cifar_space/assets/gallery").is_dir() == ("without a gallery" not in said.err)


def test_an_interrupted_build_is_no_success(weights_file, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "build_bundle", Mock(side_effect=KeyboardInterrupt))
    assert main(["build", "--weights", str(weights_file), "--out", str(tmp_path / "out")]) != 0
