"""Which number format trains quickest on this machine."""

from __future__ import annotations

from typing import Literal

import torch

#: Instructions that multiply matrices of bfloat16 with sums in float32; without them it is slower than float32.
_BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def quickest_precision(accelerator: str = "auto") -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name of the quickest precision that trains as well as float32.

    With bf16-mixed, convolutions and products take bfloat16 factors; weights, sums, optimizer and normalisation stay
    in float32.

    Args:
        accelerator: Of the trainer: "cpu", "gpu", or "auto" for a GPU where there is one.

    Returns:
        "bf16-mixed" where the processor computes with bfloat16 natively, else "32-true".

    >>> quickest_precision("cpu") in ("bf16-mixed", "32-true")
    True
    """
    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    if accelerator not in ("cpu", "auto"):
        return "32-true"
    # Older versions of torch cannot tell, and are taken at their slowest.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16-mixed" if any(capabilities.get(name) for name in _BFLOAT16_INSTRUCTIONS) else "32-true"
