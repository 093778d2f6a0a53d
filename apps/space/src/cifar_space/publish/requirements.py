"""The machines that a bundle can be built for: hardware, Python and exact versions of packages."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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

# The machine of a Space, for which the packages' own requirements are evaluated.
_SPACE = {
    "python_version": "3.12",
    "python_full_version": "3.12.12",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}

# Each build of torch pins its own.
_CUDA = ("cuda-", "nvidia-", "triton")


def installed_versions() -> dict[str, str]:
    """Returns the installed version of each distribution that the vendored sources need, directly or not, by name.

    Packages that only a Space's Python would have are missing. So are those of CUDA.

    >>> list(installed_versions())[:2]
    ['annotated-doc', 'annotated-types']
    """
    found: dict[str, str] = {}
    seen = set()
    # grad-cam imports torchvision, which must be of the same build as torch.
    waiting = [(name, "") for name in (*VENDORED, "torchvision")]
    while waiting:
        name, extra = one = waiting.pop()
        if one in seen or name.startswith(_CUDA):
            continue
        seen.add(one)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            continue
        # A local part such as +cpu names the build of this machine, not of the one to come.
        found[name] = installed.version.partition("+")[0]
        for requirement in map(Requirement, installed.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({**_SPACE, "extra": extra}):
                needed = canonicalize_name(requirement.name)
                waiting += [(needed, wanted) for wanted in ("", *requirement.extras)]
    return {name: found[name] for name in sorted(found.keys() - set(VENDORED))}


def requirements_text(torch: str) -> str:
    """Returns the `requirements.txt` of a bundle for a machine of this name: the exact version of every package.

    >>> requirements_text("zerogpu").splitlines()[-1]
    'spaces'
    """
    machine = MACHINES[torch]
    pins = installed_versions()
    lines = [f"# For {machine.about}. Python {machine.python_version}."]
    if torch == "cpu":
        lines.append(f"--extra-index-url {_CPU_INDEX}")
        pins |= {name: f"{pins[name]}+cpu" for name in _ZEROGPU_VERSIONS}
    elif torch == "zerogpu":
        pins |= _ZEROGPU_VERSIONS
    lines += [f"{name}=={pinned}" for name, pinned in pins.items()]
    lines += ["spaces"] if torch == "zerogpu" else []  # not pinned: the Hub installs its own version of it
    return "\n".join(lines) + "\n"
