"""The arguments of `cifar-space` and its commands."""

import argparse
from pathlib import Path
from typing import NoReturn

from cifar_space.publish.bundle_requirements import TORCH

_TORCH_HELP = "; ".join(f"{name}: {kind.about}" for name, kind in TORCH.items()) + " (default: cpu)"


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, as the command does of everything else."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `cifar-space` without a further command, which serves.

    >>> make_parser().parse_args(["--port", "8000"]).port
    8000
    """
    parser = _Parser(
        prog="cifar-space",
        usage="cifar-space [options] | cifar-space build --out DIR [options] | "
        "cifar-space deploy --repo-id USER/NAME [options]",
        description="Serve a page that classifies pictures and shows where the model looks.",
        epilog="`cifar-space build` writes all that a Hugging Face Space needs into a folder, `cifar-space deploy` "
        "uploads it. Each has its own --help.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=7860, help="port to listen at, 1 to 65535 (default: %(default)s)"
    )
    _add_files(parser)
    return parser


def make_build_parser() -> argparse.ArgumentParser:
    """Return the parser of `cifar-space build`.

    >>> make_build_parser().parse_args(["--out", "bundle"]).torch
    'cpu'
    """
    parser = _Parser(
        prog="cifar-space build",
        description="Write all that a Hugging Face Space needs into a folder: sources, weights, gallery, report, "
        "pinned requirements, its page.",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder to write; absent, empty or a bundle"
    )
    parser.add_argument(
        "--dtype",
        choices=["float16", "float32"],
        help="store the weights so; leaves the gallery out, since it is of the very file (default: the file as it is)",
    )
    parser.add_argument("--torch", choices=list(TORCH), default="cpu", help=_TORCH_HELP)
    _add_files(parser)
    return parser


def make_deploy_parser() -> argparse.ArgumentParser:
    """Return the parser of `cifar-space deploy`.

    >>> make_deploy_parser().parse_args(["--repo-id", "user/name"]).dry_run
    False
    """
    parser = _Parser(
        prog="cifar-space deploy",
        description="Upload the app to the Hugging Face Hub as a Space, which is created if there is none. Needs a "
        "token with write access, from `hf auth login` or in HF_TOKEN.",
    )
    parser.add_argument(
        "--repo-id", metavar="USER/NAME", required=True, help="the Space; USER may be an organization"
    )
    parser.add_argument("--private", action="store_true", help="let only the owner see the Space")
    parser.add_argument(
        "--dry-run", action="store_true", help="print files and calls instead, and contact no host"
    )
    parser.add_argument("--torch", choices=list(TORCH), help=_TORCH_HELP)
    _add_files(parser, bundle=True)
    return parser


def _add_files(parser: argparse.ArgumentParser, *, bundle: bool = False) -> None:
    served = parser.add_mutually_exclusive_group()
    served.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        help="run directory of cifar-train: its weights, gallery and report (default: what comes with the app)",
    )
    served.add_argument("--weights", type=Path, metavar="FILE", help="weights file alone")
    if bundle:
        served.add_argument(
            "--bundle",
            type=Path,
            metavar="DIR",
            help="what `cifar-space build` wrote, instead of building now",
        )
    parser.add_argument(
        "--gallery", type=Path, metavar="DIR", help="gallery of those weights, from `cifar-train gallery`"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 65535, got {text!r}")
    return int(text)
