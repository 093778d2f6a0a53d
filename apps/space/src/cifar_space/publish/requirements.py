"""The machines that a bundle can be built for: hardware, Python and exact versions of packages."""

import re
from dataclasses import dataclass
from importlib.metadata import requires, version

#: The distributions whose sources a bundle holds.
VENDORED = ("cifar-models", "cifar-explain", "cifar-space")

# PyTorch's builds without CUDA. PyPI has only those with it for Linux, of some gigabytes.
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Machine:
    """A kind of machine: its description, its Python, and the Hub's name of its hardware if not the default."""

    about: str
    python_version: str
    hardware: str | None = None


#: Each kind by the name that `--torch` gives it.
MACHINES = {
    "cpu": Machine("CPU Basic, with PyTorch's builds without CUDA", "3.12"),
    # Source: the Hub's documentation of ZeroGPU (2026-08): Python 3.10.13 or 3.12.12, torch 2.8 to 2.11.
    "zerogpu": Machine("ZeroGPU, computing on its CPU", "3.12.12", "zero-a10g"),
    "any": Machine("any machine, with the builds on PyPI", "3.12"),
}

# The newest torch that ZeroGPU lists, and the torchvision that is built for it.
_ZEROGPU_VERSIONS = {"torch": "2.11.0", "torchvision": "0.26.0"}


def direct_requirements() -> dict[str, str]:
    """Returns the installed version of each distribution that the vendored sources import, by name.

    torchvision is among them, since grad-cam imports it and it must be of the same build as torch.

    >>> list(direct_requirements())
    ['grad-cam', 'gradio', ..., 'torch', 'torchvision', 'typer']
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
    """Returns the `requirements.txt` of a bundle for a machine of this name.

    Raises:
        ValueError: If there is no such kind.

    >>> requirements_text("zerogpu").splitlines()[-4:]
    ['torch==2.11.0', 'torchvision==0.26.0', 'typer==...', 'spaces']
    """
    machine = find_machine(torch)
    pins = direct_requirements()
    lines = [f"# For {machine.about}. Python {machine.python_version}."]
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


def find_machine(torch: str) -> Machine:
    """Returns a kind of machine by its name.

    Raises:
        ValueError: If there is no such kind.
    """
    if torch not in MACHINES:
        raise ValueError(f"torch must be one of {', '.join(MACHINES)}, got {torch!r}")
    return MACHINES[torch]
