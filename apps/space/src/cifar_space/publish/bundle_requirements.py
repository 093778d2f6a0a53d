"""What a bundle asks of the machine that it runs on: hardware, Python and exact versions of packages."""

import re
from dataclasses import dataclass
from importlib.metadata import requires, version

#: The distributions whose sources a bundle holds.
VENDORED = ("cifar-models", "cifar-explain", "cifar-space")

# Where PyTorch's builds without CUDA are. PyPI has only those with it for Linux, of some gigabytes.
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class TorchKind:
    """A kind of machine that a bundle can be built for.

    Attributes:
        about: What it is, in some words.
        python_version: What the Space asks for.
        hardware: The Hub's name of the hardware that a new Space is created on; None for its default.
    """

    about: str
    python_version: str
    hardware: str | None


#: Each kind by the name that the command line gives it.
TORCH = {
    "cpu": TorchKind("CPU Basic, with PyTorch's builds without CUDA", "3.12", None),
    # Source: the Hub's documentation of ZeroGPU (2026-08): Python 3.10.13 or 3.12.12, torch 2.8 to 2.11.
    "zerogpu": TorchKind("ZeroGPU, computing on its CPU", "3.12.12", "zero-a10g"),
    "any": TorchKind("any machine, with what PyPI has", "3.12", None),
}

# The newest torch that ZeroGPU lists, and the torchvision that is built for it.
_ZEROGPU_VERSIONS = {"torch": "2.11.0", "torchvision": "0.26.0"}


def direct_requirements() -> dict[str, str]:
    """Return the version installed here of each distribution that the vendored sources import, by name.

    torchvision is among them, since grad-cam imports it and it must be of the same build as torch.

    Raises:
        importlib.metadata.PackageNotFoundError: If one is not installed.

    >>> list(direct_requirements())
    ['grad-cam', 'gradio', ..., 'torch', 'torchvision']
    """
    names = {"torchvision"}
    for vendored in VENDORED:
        for line in requires(vendored) or ():
            requirement, _, marker = line.partition(";")
            if "extra" not in marker:
                names.add(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0].lower())
    # A local part such as +cpu names the build of this machine, not of the one to come.
    return {name: version(name).partition("+")[0] for name in sorted(names - set(VENDORED))}


def requirements_text(torch: str) -> str:
    """Return the `requirements.txt` of a bundle.

    Args:
        torch: A key of `TORCH`.

    Raises:
        ValueError: If there is no such kind.

    >>> requirements_text("zerogpu").splitlines()[-3:]
    ['torch==2.11.0', 'torchvision==0.26.0', 'spaces']
    """
    check_torch(torch)
    pins = direct_requirements()
    lines = [f"# For {TORCH[torch].about}. Python {TORCH[torch].python_version}."]
    if torch == "cpu":
        lines.append(f"--extra-index-url {_CPU_INDEX}")
        pins |= {name: f"{pins[name]}+cpu" for name in _ZEROGPU_VERSIONS}
    elif torch == "zerogpu":
        pins |= _ZEROGPU_VERSIONS
    lines += [f"{name}=={pinned}" for name, pinned in pins.items()]
    if torch == "zerogpu":
        # Not pinned: the Hub installs its own version of it.
        lines.append("spaces")
    return "\n".join(lines) + "\n"


def check_torch(torch: str) -> None:
    """Check the name of a kind of machine.

    Raises:
        ValueError: If there is no such kind.

    >>> check_torch("cuda")
    Traceback (most recent call last):
        ...
    ValueError: torch must be one of cpu, zerogpu, any, got 'cuda'
    """
    if torch not in TORCH:
        raise ValueError(f"torch must be one of {', '.join(TORCH)}, got {torch!r}")
