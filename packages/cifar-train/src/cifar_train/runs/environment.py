"""What a number was measured on: versions, processor, threads."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

_DISTRIBUTIONS = ("torch", "lightning", "numpy", "cifar-models", "cifar-data", "cifar-train")


def describe_environment() -> dict[str, str | int | dict[str, str]]:
    """The machine and the versions, as plain types.

    >>> sorted(describe_environment())
    ['capability', 'cores', 'platform', 'processor', 'python', 'threads', 'versions']
    """
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _DISTRIBUTIONS},
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
