"""The command `cifar-data`: say what is where, fetch it, draw augmented samples."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import auto_cli

from cifar_data.dataset.arrays import ImageDataset
from cifar_data.dataset.cache import entry_path, load_entry, resolve_cache_dir
from cifar_data.dataset.errors import DataError
from cifar_data.dataset.fingerprint import dataset_fingerprint, is_canonical, split_sha256
from cifar_data.settings import SOURCES
from cifar_data.sources.open import download_layout, downloads_dir, find_download, locate_layout, open_layout
from cifar_data.sources.synthetic import make_synthetic
from cifar_data.validation import check_choice


def info(root: str | None = None, source: str = "auto", cache_dir: str | None = None) -> None:
    """Say which images are found where, what they are, and whether the cache is intact. Downloads nothing.

    Args:
        root: Folder of the images, or the tarball. If not given: CIFAR_DATA_DIR, else earlier downloads.
        source: auto, parquet, batches, tarball, folder or synthetic.
        cache_dir: Folder of decoded images and downloads. If not given: CIFAR_CACHE_DIR, else the
            user's cache.
    """
    check_choice("source", source, allowed=SOURCES)
    cache = resolve_cache_dir(cache_dir)
    _print("root", root or "not given")
    _print("CIFAR_DATA_DIR", os.environ.get("CIFAR_DATA_DIR") or "not set")
    _print("cache folder", str(cache))
    if source == "synthetic":
        _print("source", "synthetic, drawn in memory: neither read nor cached")
        _print_dataset(make_synthetic())
        return
    layout = locate_layout(root, source=source, cache_dir=cache)
    if layout is None:
        raise DataError(
            f"no images: no root is given and nothing is downloaded to {downloads_dir(cache)}. "
            "Fetch them with: cifar-data download"
        )
    _print("source", f"{layout.kind} in {layout.root} ({len(layout.files):,} files)")
    dataset = open_layout(layout, cache)
    entry = entry_path(layout, cache)
    _print_dataset(dataset)
    size = sum(path.stat().st_size for path in entry.iterdir())
    _print("cache entry", f"{entry} ({size / 1e6:.0f} MB)")
    found = dataset_fingerprint(
        train_sha256=split_sha256(dataset.train),
        test_sha256=split_sha256(dataset.test),
        classes=dataset.classes,
    )
    if found != dataset.fingerprint:
        raise DataError(
            f"{entry} is damaged: its content has the fingerprint {found}. Delete it to decode anew"
        )
    _print("cache content", "intact, read in full")


def download(source: str = "auto", cache_dir: str | None = None) -> None:
    """Fetch CIFAR-10 into the cache and decode it, unless it is there already; go on where a transfer broke off.

    Args:
        source: auto (the Hub's Parquet files, else the authors' tarball), parquet or tarball.
        cache_dir: Folder of decoded images and downloads. If not given: CIFAR_CACHE_DIR, else the
            user's cache.
    """
    check_choice("source", source, allowed=("auto", "parquet", "tarball"))
    cache = resolve_cache_dir(cache_dir)
    layout = find_download(cache, source=source)
    _print("download", f"there already: {layout.root}" if layout else f"fetching into {downloads_dir(cache)}")
    layout = layout or download_layout(cache, source=source)
    known = load_entry(entry_path(layout, cache)) is not None
    dataset = open_layout(layout, cache)
    _print("decoded", f"{'there already' if known else 'done'}: {entry_path(layout, cache)}")
    _print("canonical", "yes" if is_canonical(dataset) else "no")


def preview(
    root: str | None = None,
    source: str = "auto",
    cache_dir: str | None = None,
    out: str = "preview.png",
    rows: int = 4,
    columns: int = 10,
    scale: int = 3,
    seed: int = 0,
) -> None:
    """Draw training images and what the augmentation makes of them in the first epochs.

    Args:
        root: Folder of the images, or the tarball. If not given: CIFAR_DATA_DIR, else the cache, else
            a download.
        source: auto, parquet, batches, tarball, folder or synthetic.
        cache_dir: Folder of decoded images and downloads. If not given: CIFAR_CACHE_DIR, else the
            user's cache.
        out: The picture to write; its ending tells the format.
        rows: Number of images, at least 1.
        columns: Number of pictures of each, the original included, at least 2.
        scale: Width in pixels of one pixel of an image, at least 1.
        seed: Seed of the choice of images and of their augmentation, at least 0.
    """
    from cifar_data.datamodule import CIFAR10DataModule  # imports lightning: seconds, only needed here
    from cifar_data.preview import render_preview

    datamodule = CIFAR10DataModule(root, source, batch_size=1, val_size=0, seed=seed, cache_dir=cache_dir)
    picture = render_preview(datamodule, rows=rows, columns=columns, scale=scale)
    picture.save(out)
    _print("preview", f"{Path(out)} ({picture.width}x{picture.height} pixels)")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after an error, or 130 if interrupted.

    Args:
        args: The arguments after the command's name; those of the process if not given.

    Raises:
        SystemExit: From the parser: 0 after `--help`, 2 if the arguments are wrong.
    """
    try:
        auto_cli(
            {"info": info, "download": download, "preview": preview},
            args=None if args is None else list(args),
            as_positional=False,
            prog="cifar-data",
        )
    except (ValueError, OSError) as error:  # DataError is a ValueError
        print(f"cifar-data: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cifar-data: interrupted", file=sys.stderr)
        return 130
    return 0


def _print_dataset(dataset: ImageDataset) -> None:
    _print("images", f"{len(dataset.train):,} training, {len(dataset.test):,} test")
    _print("classes", ", ".join(dataset.classes))
    _print("mean", ", ".join(f"{value:.4f}" for value in dataset.mean))
    _print("std", ", ".join(f"{value:.4f}" for value in dataset.std))
    _print("fingerprint", dataset.fingerprint)
    _print("canonical", "yes, CIFAR-10 pixel for pixel" if is_canonical(dataset) else "no")


def _print(name: str, value: str) -> None:
    print(f"{name:<15} {value}")
