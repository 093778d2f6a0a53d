"""Running a rival in a process of its own, and how long that took and how much memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Where the scripts of this folder are.
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Finished:
    """A process that ended well.

    Args:
        output: What it wrote to its standard output.
        wall_seconds: From its start to its end.
        peak_memory_mib: Largest resident memory of its own, without its children; None where the system does not tell.
    """

    output: str
    wall_seconds: float
    peak_memory_mib: float | None

    def last_json(self) -> Any:
        """Return the last line of the output as JSON."""
        return json.loads(self.output.splitlines()[-1])


def run_process(command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end.

    The peak of the memory is at least that of the process that calls, which it is counted from, so callers stay small.

    Args:
        command: The program and its arguments.
        environment: Variables to set in addition to this process's.

    Raises:
        RuntimeError: If it fails; the message ends with the last lines of what it wrote.

    >>> run_process([sys.executable, "-c", "print(6 * 7)"]).last_json()
    42
    """
    variables = {**os.environ, **(environment or {})}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), stdout=out, stderr=errors, env=variables)
        try:
            peak = _wait(process)
        except BaseException:
            # Interrupted: a training that nobody waits for must not go on.
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        texts = []
        for file in (out, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if process.returncode:
        last = "\n".join((texts[0] + texts[1]).splitlines()[-15:])
        shown = " ".join(map(str, command))
        raise RuntimeError(f"{shown} ended with status {process.returncode}:\n{last}")
    return Finished(texts[0], seconds, peak)


def python(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script of this folder with this interpreter.

    >>> python("bench_start.py", "--quick")[-1]
    '--quick'
    """
    return [sys.executable, str(HERE / script), *arguments]


def installed(name: str) -> str:
    """Return the path of a command of this environment.

    >>> Path(installed("cifar-train")).name
    'cifar-train'
    """
    return str(Path(sys.executable).with_name(name))


def _wait(process: "subprocess.Popen[bytes]") -> float | None:
    """Wait for the end and return the peak memory in MiB."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts in KiB, macOS in bytes.
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
