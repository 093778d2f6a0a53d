"""The command `cifar-space`: serve the page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cifar_space.examples import DEFAULT_WEIGHTS


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments.

    >>> make_parser().parse_args(["--port", "8000"]).port
    8000
    """
    parser = argparse.ArgumentParser(
        prog="cifar-space",
        description="Serve a page that classifies pictures and shows where the model looks.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=7860, help="port to listen at, 1 to 65535 (default: %(default)s)"
    )
    served = parser.add_mutually_exclusive_group()
    served.add_argument("--weights", type=Path, metavar="FILE", help="weights file to serve")
    served.add_argument(
        "--run", type=Path, metavar="DIR", help="run directory of cifar-train; serves its model.safetensors"
    )
    return parser


def weights_path(weights: Path | None, run: Path | None) -> Path:
    """Return the weights file to serve: the one given, the run's, or the built-in one.

    Raises:
        FileNotFoundError: If there is no such file; the message says what to do.

    >>> weights_path(None, Path("no-such-run"))
    Traceback (most recent call last):
        ...
    FileNotFoundError: no-such-run has no model.safetensors: it is no run directory, or its run is not finished
    """
    if run is not None:
        path = run / "model.safetensors"
        reason = f"{run} has no {path.name}: it is no run directory, or its run is not finished"
    elif weights is not None:
        path = weights
        reason = f"there is no file {path}"
    else:
        path = DEFAULT_WEIGHTS
        reason = f"there are no built-in weights at {path}; give --weights FILE or --run DIR"
    if not path.is_file():
        raise FileNotFoundError(reason)
    return path


def main(args: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return 0, or 2 after an error.

    Args:
        args: The arguments after the command's name; those of the process if not given.

    Raises:
        SystemExit: From the parser: 0 after `--help`, 2 if the arguments are wrong.
    """
    given = make_parser().parse_args(args)
    try:
        path = weights_path(given.weights, given.run)
        # torch and Gradio take seconds to import; a wrong path is told at once.
        from cifar_space.server import start
        from cifar_space.service import load_service

        service = load_service(path)
        page = start(service, host=given.host, port=given.port)
    except (ValueError, OSError) as error:
        print(f"cifar-space: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    print(f"cifar-space: {service.weights.architecture} from {path} at {page.local_url}", flush=True)
    page.block_thread()
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 65535, got {text!r}")
    return int(text)
