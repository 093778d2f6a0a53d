"""The machine: its description for the run summary, and the number format that it trains quickest with."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch


def quickest_precision(accelerator: str = "auto") -> Literal["bf16-mixed", "32-true"]:
    """Returns the quickest precision that trains as well as float32: bf16-mixed where hardware computes in bfloat16.

    ``accelerator`` is the trainer's: "cpu", "gpu", or "auto" for a GPU where there is one.
    """
    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator not in ("cpu", "auto"):
        return "32-true"
    # Older versions of torch cannot tell.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    # These multiply bfloat16 matrices and sum in float32; without them bfloat16 is slower than float32.
    return "bf16-mixed" if any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16")) else "32-true"


def describe_environment() -> dict[str, str | int | dict[str, str]]:
    """Returns machine and versions as plain types."""
    distributions = ("torch", "lightning", "numpy", "cifar-models", "cifar-data", "cifar-train")
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in distributions},
    }


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"
