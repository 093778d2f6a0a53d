"""The command `cifar-data`: shows which images are found, downloads them, draws augmented samples."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from cifar_data.dataset.arrays import DataError
from cifar_data.dataset.cache import entry_path, expand_home, resolve_cache_dir
from cifar_data.dataset.fingerprint import fingerprint, is_canonical
from cifar_data.sources.open import download_layout, locate_layout, open_layout
from cifar_data.sources.synthetic import make_synthetic
from cifar_data.validation import SOURCES, check_choice


def info(root: str | None, source: str, cache_dir: str | None) -> None:
    """Prints which images are found where, and reads the whole cache entry; downloads nothing."""
    check_choice("source", source, allowed=SOURCES)
    cache = resolve_cache_dir(cache_dir)
    _print("root", root or "not given")
    _print("CIFAR_DATA_DIR", os.environ.get("CIFAR_DATA_DIR") or "not set")
    _print("cache folder", cache)
    layout = None if source == "synthetic" else locate_layout(root, source=source, cache_dir=cache)
    if layout is None and source != "synthetic":
        raise DataError("no root is given and nothing is downloaded. Run cifar-data download, or give --root")
    dataset = make_synthetic() if layout is None else open_layout(layout, cache)
    _print("source", f"{dataset.origin} ({len(layout.files):,} files)" if layout else dataset.origin)
    if layout is not None and layout.left_out:
        _print("left out", layout.left_out_text)
    _print("images", f"{len(dataset.train):,} training, {len(dataset.test):,} test")
    _print("classes", ", ".join(dataset.classes))
    _print("mean", ", ".join(f"{value:.4f}" for value in dataset.mean))
    _print("std", ", ".join(f"{value:.4f}" for value in dataset.std))
    _print("fingerprint", dataset.fingerprint)
    _print("canonical", "yes, CIFAR-10 pixel for pixel" if is_canonical(dataset) else "no")
    if layout is not None:
        entry = entry_path(layout, cache)
        size = sum(path.stat().st_size for path in entry.iterdir())
        _print("cache entry", f"{entry} ({size / 1e6:.0f} MB)")
        if fingerprint(dataset.train, dataset.test, dataset.classes) != dataset.fingerprint:
            raise DataError(f"{entry} is damaged. Delete it, and the images are decoded again")
        _print("cache content", "intact")


def download(source: str, cache_dir: str | None) -> None:
    """Downloads CIFAR-10 into the cache and decodes it, unless that has been done."""
    check_choice("source", source, allowed=("auto", "parquet", "tarball"))
    cache = resolve_cache_dir(cache_dir)
    layout = download_layout(cache, source=source)
    dataset = open_layout(layout, cache)
    _print("downloaded", layout.root)
    _print("decoded", entry_path(layout, cache))
    _print("canonical", "yes" if is_canonical(dataset) else "no")


def preview(out: str, rows: int, columns: int, scale: int, **settings: object) -> None:
    """Draws training images and their augmented versions of the first epochs into an image file."""
    from cifar_data.datamodule import CIFAR10DataModule  # imports lightning, which takes seconds
    from cifar_data.preview import render_preview

    path = expand_home(out, name="--out")
    datamodule = CIFAR10DataModule(batch_size=1, val_size=0, **settings)  # type: ignore[arg-type]
    picture = render_preview(datamodule, rows=rows, columns=columns, scale=scale)
    picture.save(path)
    _print("preview", f"{path} ({picture.width}x{picture.height} pixels)")


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after an error, or 130 if interrupted."""
    options = vars(_make_parser().parse_args(args))
    try:
        options.pop("run")(**options)
    except (ValueError, OSError) as error:  # DataError is a ValueError
        _write(f"cifar-data: {error}", "stderr")
        return 2
    except KeyboardInterrupt:
        _write("cifar-data: interrupted", "stderr")
        return 130
    return 0


def _make_parser() -> argparse.ArgumentParser:
    cache = argparse.ArgumentParser(add_help=False)
    kept = "folder of decoded images and downloads (default: CIFAR_CACHE_DIR, else the user's cache)"
    cache.add_argument("--cache_dir", help=kept)
    images = argparse.ArgumentParser(add_help=False, parents=[cache])
    images.add_argument("--source", default="auto", help=f"{', '.join(SOURCES)} (default: %(default)s)")
    place = "folder of the images, or the tarball (default: CIFAR_DATA_DIR, else the last download)"
    images.add_argument("--root", help=place)
    parser = argparse.ArgumentParser(prog="cifar-data", description="Finds, downloads and previews CIFAR-10.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Callable[..., None], parent: argparse.ArgumentParser, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(run.__name__, parents=[parent], help=text, description=text)
        command.set_defaults(run=run)
        return command

    add(info, images, "Show which images are found where, and check the cache. Nothing is downloaded.")
    command = add(download, cache, "Download CIFAR-10 into the cache and decode it, unless done already.")
    command.add_argument("--source", default="auto", help="auto, parquet, tarball (default: %(default)s)")
    command = add(preview, images, "Draw training images and their augmented versions of the first epochs.")
    command.add_argument("--out", default="preview.png", help="file to write (default: %(default)s)")
    for name, default, text in (
        ("rows", 4, "number of images"),
        ("columns", 10, "versions of each image, the original included, at least 2"),
        ("scale", 3, "magnification"),
        ("seed", 0, "seed of the choice of images and of their augmentation"),
    ):
        command.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    return parser


def _print(name: str, value: object) -> None:
    _write(f"{name:<15} {value}", "stdout")


def _write(line: str, stream: str) -> None:
    """Prints a line; where that is not possible, the work is done all the same."""
    file = getattr(sys, stream)
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)
    except (OSError, ValueError):  # the reader has gone
        setattr(sys, stream, None)  # or Python would flush it at the end, in vain
