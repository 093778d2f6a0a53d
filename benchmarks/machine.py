"""What a benchmark was run on, and its report as JSON; imports nothing heavy, so that a parent process stays small."""

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# What decides how quick matrix products are, in float32 and in bfloat16, as Linux calls it.
_INSTRUCTIONS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "bf16",
)


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, instruction sets, and what else the machine was doing.

    >>> sorted(describe_machine())
    ['cores', 'instructions', 'load_before', 'memory_gib', 'processor', 'system']
    """
    listing = _read("/proc/cpuinfo")
    flags = set(_field(listing, "flags").split() or _field(listing, "Features").split())
    memory_kib = _field(_read("/proc/meminfo"), "MemTotal").split()
    return {
        "processor": _field(listing, "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(int(memory_kib[0]) / 2**20, 1) if memory_kib else None,
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def describe_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python and of those of the distributions that are installed.

    >>> list(describe_versions(["no-such-distribution"]))
    ['python']
    """
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            # What was not there did not take part.
            continue
    return versions


def start_report(benchmark: str, packages: Iterable[str]) -> dict[str, Any]:
    """Return what every report begins with: its name, the date, machine and versions.

    >>> list(start_report("bench_nothing", []))
    ['benchmark', 'date', 'machine', 'versions']
    """
    return {
        "benchmark": benchmark,
        "date": timestamp(),
        "machine": describe_machine(),
        "versions": describe_versions(packages),
    }


def timestamp() -> str:
    """Return the time, UTC, to the second.

    >>> len(timestamp())
    20
    """
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def headline(report: dict[str, Any]) -> str:
    """Return a report's machine and versions in one line.

    >>> headline(
    ...     {
    ...         "date": "2026-01-01T00:00:00Z",
    ...         "machine": {"processor": "Z80", "cores": 1, "instructions": [], "load_before": 0.1},
    ...         "versions": {"python": "3.13.0"},
    ...     }
    ... )
    'Z80, 1 cores, load before 0.1, python 3.13.0, 2026-01-01T00:00:00Z'
    """
    machine = report["machine"]
    parts = [machine["processor"], f"{machine['cores']} cores", *machine["instructions"]]
    parts.append(f"load before {machine['load_before']}")
    parts += [f"{name} {number}" for name, number in report["versions"].items()]
    return ", ".join([*parts, report["date"]])


def write_json(path: Path, content: Any) -> None:
    """Write `content`, making the folder if it is missing, in one step that an interruption cannot split."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    staged.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    staged.replace(path)


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def _field(listing: str, name: str) -> str:
    """Return the first value of a field of a listing of Linux's `name : value` kind, empty if there is none."""
    for line in listing.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""
