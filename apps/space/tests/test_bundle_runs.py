"""The bundle in an environment that has nothing but what its `requirements.txt` asks for."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from cifar_space import Options, built_in, load_service
from cifar_space.publish.bundle import build_bundle
from cifar_space.service.serialize import describe

MEMBER = Path(__file__).parents[1]
PROJECTS = [MEMBER, *(MEMBER.parents[1] / "packages" / name for name in ("cifar-models", "cifar-explain"))]

#: Variables with which no path but the bundle's leads to our sources.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uv(missing):
    """Runs uv, with neither this workspace's settings nor a Python from elsewhere."""
    if shutil.which("uv") is None:
        missing("uv is not there; it makes environments and wheels")

    def run(*args, check=True):
        command = ["uv", *map(str, args), "--no-config", "--no-python-downloads"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        return done

    return run


@pytest.fixture
def space(tmp_path, uv):
    """The bundle of what comes with the app, and the Python of an environment with its requirements alone."""
    bundle, environment = tmp_path / "bundle", tmp_path / "venv"
    build_bundle(built_in(), bundle, torch="any")
    # The Space's Python where there is one, else this one.
    if uv("venv", "--python", "3.12", environment, check=False).returncode:
        uv("venv", "--clear", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    uv("pip", "install", "--python", python, "--requirement", bundle / "requirements.txt")
    yield bundle, python
    # Some gigabytes, were they not links into uv's cache.
    shutil.rmtree(environment)


def test_the_app_answers_as_here(space, tmp_path):
    bundle, python = space
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    command = [python, "app.py", "--host", "127.0.0.1", "--port", str(port)]
    picture = bundle / "cifar_space" / "assets" / "examples" / "cat-08.png"
    out = log.open("w")
    with out, subprocess.Popen(command, cwd=bundle, env=CLEAN, stdout=out, stderr=out) as app:
        try:
            # The first start in a new environment compiles all of torch.
            end = time.monotonic() + 300
            while url not in log.read_text():
                assert app.poll() is None, log.read_text()
                assert time.monotonic() < end, "not started after 300 seconds"
                time.sleep(0.2)
            client = Client(url, verbose=False, analytics_enabled=False, download_files=tmp_path)
            arguments = {"images": [handle_file(picture)], "top": 10, "opacity": 0.25}
            (got,) = client.predict(**arguments, api_name="/classify")
            client.close()
        finally:
            app.terminate()
    (expected,) = describe(load_service(built_in()).answer([picture], Options(top=10)), opacity=0.25)
    assert got["name"] == "cat-08.png"
    for mine, theirs in zip(got["predictions"], expected["predictions"], strict=True):
        assert mine["class"] == theirs["class"]
        assert mine["probability"] == pytest.approx(theirs["probability"], abs=1e-5)
    assert list(got["maps"]) == list(expected["maps"])
    assert "Traceback" not in log.read_text()


def test_wheels_build_the_same_bundle_as_sources(tmp_path, uv, contents):
    for project in PROJECTS:
        uv("build", "--wheel", "--out-dir", tmp_path / "wheels", project)
    for wheel in (tmp_path / "wheels").glob("*.whl"):
        shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    # What is unpacked comes before what is installed, with its metadata, as pip would lay it out.
    code = "from cifar_space.cli import main; raise SystemExit(main())"
    for out, path in (("of-wheels", {"PYTHONPATH": str(tmp_path / "installed")}), ("of-sources", {})):
        command = [sys.executable, "-c", code, "build", "--out", tmp_path / out]
        subprocess.run(command, env=CLEAN | path, check=True, capture_output=True)
    of_wheels, of_sources = contents(tmp_path / "of-wheels"), contents(tmp_path / "of-sources")
    assert of_wheels.keys() == of_sources.keys()
    assert [name for name in of_wheels if of_wheels[name] != of_sources[name]] == []
