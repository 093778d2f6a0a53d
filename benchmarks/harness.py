"""What all benchmarks share: machine and versions, interleaved rounds, medians and tables, pace, processes, JSON.

Imports nothing heavy: Linux counts the peak memory of a process from that of its parent.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Rows = list[list[str]]

HERE = Path(__file__).parent

# The instruction sets that matter for matrix products in float32 and bfloat16, as Linux names them.
_INSTRUCTIONS = ["avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "asimd", "bf16"]


# Reports


def describe_machine() -> dict[str, Any]:
    """Returns processor, cores, memory, instruction sets and the load at the moment."""
    cpu = _fields("/proc/cpuinfo")
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    return {
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def _fields(path: str) -> dict[str, str]:
    """Returns the last value of each field in one of Linux's listings of `name : value`."""
    text = Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())
    }


def describe_versions(packages: Iterable[str]) -> dict[str, str]:
    """Returns the versions of Python and of the packages; those that are not installed are left out."""
    found = {one.name: one.version for one in distributions()}
    versions = {name: found[name] for name in packages if name in found}
    return {"python": platform.python_version(), **versions}


def timestamp() -> str:
    """Returns the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def start_report(benchmark: str, packages: Iterable[str]) -> dict[str, Any]:
    """Returns the head of a report: benchmark, date, machine, versions."""
    about = {"machine": describe_machine(), "versions": describe_versions(packages)}
    return {"benchmark": benchmark, "date": timestamp(), **about}


def headline(report: Mapping[str, Any]) -> str:
    """Returns a report's machine and versions in one line."""
    machine = report["machine"]
    parts = [machine["processor"], f"{machine['cores']} cores", *machine["instructions"]]
    versions = [f"{name} {number}" for name, number in report["versions"].items()]
    return ", ".join([*parts, f"load before {machine['load_before']}", *versions, report["date"]])


def write_json(path: Path | None, content: Any) -> None:
    """Writes `content` in one step, so that an interruption leaves the old file whole; does nothing without a path."""
    if path is None:
        return
    text = json.dumps(content, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)


def make_parser(description: str | None, *, rounds: int, data: bool = False) -> argparse.ArgumentParser:
    """Returns a parser with `--rounds`, `--quick`, `--out`, and for a benchmark with data `--source`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help="measurements (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a small version, to see whether it works")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all measurements as JSON")
    if data:
        parser.add_argument("--source", default="auto", help="data source, such as synthetic")
    return parser


# Rounds and tables


def interleave(rivals: Mapping[Any, Callable[[], T]], *, rounds: int, warmup: int = 0) -> dict[Any, list[T]]:
    """Runs all rivals in each round, in reverse order every second time, so that a busy machine burdens all alike.

    Returns:
        The results of each rival, without the first `warmup` rounds.
    """
    results: dict[Any, list[T]] = {name: [] for name in rivals}
    for number in range(warmup + rounds):
        for name in reversed(rivals) if number % 2 else rivals:
            result = rivals[name]()
            if number >= warmup:
                results[name].append(result)
    return results


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Returns `values / base` round by round: what slows down a whole round cancels."""
    return [value / other for value, other in zip(values, base, strict=True)]


def summarize(values: Sequence[float]) -> dict[str, Any]:
    """Returns median, lowest, highest and number of the values, for a report."""
    middle = float(statistics.median(values))
    return {"median": middle, "lowest": min(values), "highest": max(values), "n": len(values)}


def spread(values: Sequence[float], digits: int = 0, *, write: Callable[[float], str] | None = None) -> str:
    """Returns the median and, of several values, the lowest and the highest.

    >>> spread([3.0, 1.0, 2.0], 1), spread([1234.5])
    ('2.0 (1.0 to 3.0)', '1,234')
    """
    write = write or f"{{:,.{digits}f}}".format
    middle = write(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({write(min(values))} to {write(max(values))})"


def mean_and_deviation(values: Sequence[float], digits: int = 2) -> str:
    """Returns the mean and, of several values, the sample standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def compare(
    found: Mapping[str, Sequence[float]], base: str, *, digits: int = 0
) -> tuple[Rows, dict[str, dict[str, Any]]]:
    """Returns a row (label, n, values, ratio to `base`) and a report's entry for each rival."""
    rows, report = [], {}
    for label, values in found.items():
        relative = ratios(values, found[base])
        rows.append([label, str(len(values)), spread(values, digits), spread(relative, 2)])
        report[label] = {**summarize(values), "values": list(values), "ratio": summarize(relative)}
    return rows, report


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table; the first column is aligned to the left, the others to the right.

    >>> print(markdown_table(["rival", "s"], [["a", "1.0"], ["b", "12.0"]]))
    | rival |    s |
    |:------|-----:|
    | a     |  1.0 |
    | b     | 12.0 |
    """
    lines = [list(header), *map(list, rows)]
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for label, *cells in lines:
        padded = [cell.rjust(width) for cell, width in zip(cells, others, strict=True)]
        texts.append(f"| {' | '.join([label.ljust(first), *padded])} |")
    rule = "|".join([":" + "-" * (first + 1), *("-" * (width + 1) + ":" for width in others)])
    return "\n".join([texts[0], f"|{rule}|", *texts[1:]])


# Time


class Pace:
    """Counts steps and images of a training after a warm-up, until it has seen enough.

    Args:
        warmup: Steps that do not count, at least 1: caches are cold, and kernels are chosen in them.
        steps: Steps to count.
        seconds: Time to count. The limit that is reached first ends it; one of the two must be given.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        *,
        warmup: int = 3,
        steps: int | None = None,
        seconds: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if steps is None and seconds is None:
            raise ValueError("give steps or seconds, or the measurement would never end")
        for name, value in {"warmup": warmup, "steps": steps, "seconds": seconds}.items():
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0")
        self.steps, self.images, self.seconds = 0, 0, 0.0
        self._warmup, self._started = warmup, 0.0
        self._max_steps = float("inf") if steps is None else steps
        self._max_seconds = float("inf") if seconds is None else seconds
        self._clock = clock

    def step(self, images: int) -> bool:
        """Counts a step that has just ended and returns whether that is enough."""
        now = self._clock()
        if self._warmup:
            self._warmup, self._started = self._warmup - 1, now
            return False
        self.steps += 1
        self.images += images
        self.seconds = now - self._started
        return self.steps >= self._max_steps or self.seconds >= self._max_seconds

    def result(self) -> dict[str, float | int]:
        """Returns the counts for a report; a ValueError if the training ended within the warm-up."""
        if not self.steps:
            raise ValueError("no step was counted: the training ended within the warm-up")
        rate = self.images / self.seconds
        counts = {"steps": self.steps, "images": self.images, "seconds": self.seconds}
        return {**counts, "images_per_second": rate}


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Returns a function that runs `work` once and returns its seconds."""

    def measured() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return measured


# Processes


@dataclass(frozen=True)
class Finished:
    """The standard output of a finished process, and its `wall_seconds` and `peak_memory_mib`."""

    output: str
    costs: dict[str, float]

    def last_json(self) -> Any:
        """Returns the last line of the output, parsed as JSON."""
        return json.loads(self.output.splitlines()[-1])


def run_process(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Finished:
    """Runs a command to its end, with some environment variables added.

    Raises:
        RuntimeError: If it fails; the message ends with the last lines of its output.
    """
    variables = {**os.environ, **(environment or {})}
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=variables, text=True) as process,
    ):
        try:
            output = process.stdout.read() if process.stdout else ""
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            # Interrupted: a training that nobody waits for must not continue.
            process.kill()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        last = "\n".join((output + errors.read()).splitlines()[-15:])
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}:\n{last}")
    # Linux counts in KiB, macOS in bytes.
    memory = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Finished(output, {"wall_seconds": seconds, "peak_memory_mib": memory})


def script(name: str, *arguments: str) -> list[str]:
    """Returns the command that runs a script of this folder with this interpreter."""
    return [sys.executable, str(HERE / name), *arguments]


def installed(name: str) -> str:
    """Returns the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def run_slice(
    recipe: str,
    *arguments: str,
    steps: int | None = None,
    seconds: float | None = None,
    warmup: int = 5,
    threads: int | None = None,
) -> Finished:
    """Runs `cifar-train fit` on a recipe until `pace_callback.PaceCallback` has seen enough.

    Nothing is validated or saved, and all images have full size, also those of a recipe that begins on smaller ones.
    The last line of the output is the callback's JSON. With several processes give steps, not seconds.
    """
    limits = {"warmup": warmup, "steps": steps, "seconds": seconds}
    variables = {"PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
    if threads is not None:
        variables["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as runs:
        command = [installed("cifar-train"), "fit", "--recipe", recipe, "--runs", runs, *arguments]
        command += ["--model.low_resolution.until=0", "--trainer.limit_val_batches=0"]
        command += ["--trainer.enable_checkpointing=false", "--trainer.enable_progress_bar=false"]
        command.append("--trainer.callbacks+=pace_callback.PaceCallback")
        command += [f"--trainer.callbacks.{k}={v}" for k, v in limits.items() if v is not None]
        return run_process(command, environment=variables)
