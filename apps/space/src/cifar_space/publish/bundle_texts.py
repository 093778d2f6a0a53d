"""The texts that a bundle has of its own: `app.py` and the Space's page, `README.md`."""

import re
from collections.abc import Sequence
from importlib.metadata import version

from cifar_models import CIFAR10, WeightsHeader
from cifar_space.publish.bundle_requirements import TORCH

_APP = '''"""What Hugging Face Spaces runs: `cifar-space` for visitors from outside."""

import sys

from cifar_space.cli import main

raise SystemExit(main(["--host", "0.0.0.0", *sys.argv[1:]]))  # noqa: S104 - the Space's own container
'''

_ZEROGPU_APP = '''"""What Hugging Face Spaces runs: `cifar-space` for visitors from outside, on ZeroGPU."""

import sys

import spaces  # before anything that imports torch

from cifar_space.cli import main


@spaces.GPU
def on_gpu() -> None:
    """Never called: ZeroGPU wants to see one such function, and the networks here are quick on the CPU."""


raise SystemExit(main(["--host", "0.0.0.0", *sys.argv[1:]]))  # noqa: S104 - the Space's own container
'''

# Classes that the page of a Space names.
_NAMED = 20

_IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s:]+)\)")


def app_text(torch: str) -> str:
    """Return the `app.py` of a bundle for a kind of machine, a key of `TORCH`.

    >>> "import spaces" in app_text("zerogpu"), "import spaces" in app_text("cpu")
    (True, False)
    """
    return _ZEROGPU_APP if torch == "zerogpu" else _APP


def readme_text(readme: str, *, torch: str, weights: WeightsHeader, sha256: str) -> str:
    """Return the `README.md` of a bundle: that of the app with what is true of this copy.

    Its front matter gets the version of Gradio that is installed here, and Python and hardware for the kind of
    machine; its title names CIFAR-10 only where its classes are told apart; a last section tells of the weights.

    Args:
        readme: The app's README, with front matter.
        torch: A key of `TORCH`.
        weights: What the weights file says about itself.
        sha256: The weights file's SHA-256.

    Raises:
        ValueError: If the README has no front matter.
    """
    start, _, rest = readme.partition("---\n")
    matter, end, body = rest.partition("\n---\n")
    if start or not end:
        raise ValueError("the app's README.md has no front matter between lines of ---")
    kind = TORCH[torch]
    fields = {"sdk_version": version("gradio"), "python_version": f'"{kind.python_version}"'}
    if weights.spec.classes != CIFAR10.classes:
        fields["title"] = "Classify and explain"
    if kind.hardware:
        fields["suggested_hardware"] = kind.hardware
    lines = [line for line in matter.splitlines() if line.partition(":")[0] not in fields]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "---\n" + "\n".join(lines) + "\n---\n" + body.rstrip() + "\n" + _about(torch, weights, sha256)


def named_images(readme: str) -> list[str]:
    """Return the paths of the pictures that a README shows and that lie beside it.

    >>> named_images("![The page](screenshot.png) ![Badge](https://example.org/badge.svg)")
    ['screenshot.png']
    """
    return sorted(set(_IMAGE.findall(readme)))


def without_image(readme: str, image: str) -> str:
    """Return a README that no longer shows a picture.

    >>> without_image("A ![page](a.png) B", "a.png")
    'A  B'
    """
    return _IMAGE.sub(lambda found: "" if found[1] == image else found[0], readme)


def _listed(classes: Sequence[str]) -> str:
    # A class may be called anything; as code it is no markup.
    named = [f"`{name.replace('`', ' ')}`" for name in classes[:_NAMED]]
    more = len(classes) - len(named)
    return f"{', '.join(named)} and {more:,} more" if more else f"{', '.join(named[:-1])} and {named[-1]}"


def _about(torch: str, weights: WeightsHeader, sha256: str) -> str:
    accuracy = weights.metrics.get("test_accuracy")
    reached = f", {100 * accuracy:.2f} % of the test images right" if isinstance(accuracy, float) else ""
    lines = [
        "",
        "## This copy",
        "",
        f"Built by `cifar-space build` for {TORCH[torch].about}.",
        f"Its model is a {weights.architecture}{reached}, from the weights file with the SHA-256",
        f"`{sha256}`. It knows {_listed(weights.spec.classes)}.",
    ]
    if torch == "zerogpu":
        lines += [
            "A bundle of this kind was started with Python 3.12 and torch 2.11 on an ordinary machine, where",
            "`@spaces.GPU` does nothing; on ZeroGPU itself it is untested.",
        ]
    return "\n".join(lines) + "\n"
