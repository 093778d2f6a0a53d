"""The command `cifar-space`: serve the page, or bring it to Hugging Face Spaces."""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from cifar_space.arguments import make_build_parser, make_deploy_parser, make_parser
from cifar_space.artifacts.files import ServedFiles, built_in, of_run, of_weights
from cifar_space.publish.bundle_requirements import TORCH


def served_files(given: argparse.Namespace) -> ServedFiles:
    """Return the files to serve: those of the run, of the weights file, or the built-in ones.

    Raises:
        FileNotFoundError: If there are none; the message says what to do.
    """
    if given.run is not None:
        files = of_run(given.run)
    elif given.weights is not None:
        files = of_weights(given.weights)
    else:
        files = built_in()
    if given.gallery is None:
        return files
    if not (given.gallery / "gallery.npz").is_file():
        raise FileNotFoundError(f"{given.gallery} has no gallery.npz; write one with `cifar-train gallery`")
    return dataclasses.replace(files, gallery=given.gallery)


def main(args: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return 0, or 2 after an error.

    Args:
        args: The arguments after the command's name; those of the process if not given.

    Raises:
        SystemExit: From the parser: 0 after `--help`, 2 if the arguments are wrong.
    """
    words = list(sys.argv[1:] if args is None else args)
    commands: dict[
        str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace], None]]
    ] = {
        "build": (make_build_parser, _build),
        "deploy": (make_deploy_parser, _deploy),
    }
    make, run = commands.get(words[0] if words else "", (make_parser, _serve))
    given = make().parse_args(words if run is _serve else words[1:])
    try:
        run(given)
    except (ValueError, OSError) as error:
        print(f"cifar-space: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0 if run is _serve else 130
    return 0


def _serve(given: argparse.Namespace) -> None:
    files = served_files(given)
    # torch and Gradio take seconds to import; a wrong path is told at once.
    from cifar_space.service.service import load_service
    from cifar_space.ui.server import start

    service = load_service(files)
    page = start(service, host=given.host, port=given.port)
    architecture = service.weights.architecture
    print(f"cifar-space: {architecture} from {files.weights} at {page.local_url}", flush=True)
    page.block_thread()


def _build(given: argparse.Namespace) -> None:
    files = served_files(given)
    _write_bundle(files, given.out, torch=given.torch, dtype=given.dtype)


def _deploy(given: argparse.Namespace) -> None:
    if given.bundle is not None and (given.torch is not None or given.gallery is not None):
        raise ValueError("--torch and --gallery are settled in a bundle; leave them out, or build it again")
    from cifar_space.publish.deploy import deploy, find_token, plan_deployment

    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle
        if bundle is None:
            files = served_files(given)
            if not given.dry_run:
                find_token()  # before building, which takes a while
            bundle = Path(folder, "bundle")
            _write_bundle(files, bundle, torch=given.torch or "cpu", dtype=None)
        plan = plan_deployment(bundle, given.repo_id, private=given.private)
        print(plan.describe())
        if not given.dry_run:
            print(deploy(plan))


def _write_bundle(files: ServedFiles, out: Path, *, torch: str, dtype: str | None) -> None:
    from cifar_space.publish.bundle import build_bundle

    manifest = build_bundle(files, out, torch=torch, dtype=dtype)
    total = sum(entry.bytes for entry in manifest.files.values())
    print(f"{out}  {len(manifest.files)} files, {total / 1e6:.1f} MB, for {TORCH[torch].about}")
    names = [name.rpartition("/")[2] for name in manifest.files]
    if "gallery.npz" not in names:
        left_out = files.gallery is not None
        told = (
            f"without a gallery, since it is of the weights before --dtype {dtype}"
            if left_out
            else "without a gallery"
        )
        made = "" if files.gallery_command is None else f"; one is made by `{files.gallery_command}`"
        print(f"cifar-space: {told}{made}", file=sys.stderr)
    elif "gallery.png" not in names:
        made = "" if files.gallery_command is None else f"; `{files.gallery_command}` makes them"
        print(f"cifar-space: without the images of the errors{made}", file=sys.stderr)
