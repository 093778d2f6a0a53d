"""The way from a place to a dataset: the place is given or found, its layout recognised, its content read."""

import os
import warnings
from pathlib import Path

from cifar_data.dataset.arrays import DataError, ImageDataset, Layout
from cifar_data.dataset.cache import expand_home, explained_errors, locked, open_cached, resolve_cache_dir
from cifar_data.dataset.fingerprint import TARBALL, canonical_order, describe_dataset
from cifar_data.sources import batches, folders, parquet
from cifar_data.sources.download import fetch_dataset
from cifar_data.sources.synthetic import make_synthetic
from cifar_data.validation import SOURCES, check_choice

# In order of precedence where a folder has several: how to find and to read it, and the files that it needs.
_LAYOUTS = {
    "parquet": (parquet.find_parquet, parquet.read_parquet, parquet.NEEDED),
    "batches": (batches.find_batches, batches.read_batches, batches.NEEDED),
    "tarball": (batches.find_tarball, batches.read_tarball, TARBALL),
    "folder": (folders.find_folder, folders.read_folder, "images in train/<class>/ and test/<class>/"),
}

_HELP = (
    "Give the folder of the images with --data.root (cifar-data: --root) or CIFAR_DATA_DIR, "
    "or use drawn shapes with --data.source synthetic (cifar-data: --source synthetic)"
)


def open_dataset(
    root: str | os.PathLike[str] | None = None,
    *,
    source: str = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> ImageDataset:
    """Returns a dataset as memory maps; images are decoded the first time, which takes seconds.

    Searches `root`; if that is not given, the folder that `CIFAR_DATA_DIR` names; if that is not set either, earlier
    downloads in the cache; and if there are none, downloads CIFAR-10. Where a folder has several layouts, the first of
    parquet, batches, tarball and folder is used, even if it lacks files. Images that are missing, damaged or in no
    known layout are a `DataError`, and so is a cache that cannot be written.

    Args:
        root: The folder of the images, or the tarball.
        source: `parquet`, `batches`, `tarball` or `folder` accept only that layout, `auto` any of them;
            `synthetic` draws shapes in memory, and reads no root.
        cache_dir: Folder of decoded images and downloads; if not given, `CIFAR_CACHE_DIR`, else the user's cache.
        progress: Whether to show progress bars on stderr.
    """
    check_choice("data.source", source, allowed=SOURCES)
    if source == "synthetic":
        return make_synthetic()
    cache = resolve_cache_dir(cache_dir)
    if (layout := locate_layout(root, source=source, cache_dir=cache)) is None:
        layout = download_layout(cache, source=source, progress=progress)
    if layout.left_out:
        warnings.warn(f"{layout.origin}: {layout.left_out_text}", stacklevel=1)
    return open_layout(layout, cache, progress=progress)


def locate_layout(root: str | os.PathLike[str] | None, *, source: str, cache_dir: Path) -> Layout | None:
    """Returns the files that `open_dataset` would read, or None if it would download them."""
    given = {"the root": root, "CIFAR_DATA_DIR": os.environ.get("CIFAR_DATA_DIR")}
    for name, place in given.items():
        if place:
            return find_layout(expand_home(place, name=name), source=source, name=name)
    return _search(cache_dir / "downloads", source)


def find_layout(root: Path, *, source: str = "auto", name: str = "the root") -> Layout:
    """Returns the files of the dataset in a folder or tarball, which errors call `name`."""
    try:
        if (layout := _search(root, source)) is not None:
            return layout
        if not root.exists():
            raise DataError(f"{name} {root} does not exist. {_HELP}")
        entries = sorted(path.name for path in root.iterdir()) if root.is_dir() else [f"the file {root.name}"]
    except OSError as error:
        raise DataError(f"{name} {root} cannot be read: {error.strerror or error}") from error
    more = f" and {len(entries) - 8} more" if len(entries) > 8 else ""
    understood = "".join(
        f"\n  {kind}: {needed}" for kind, (*_, needed) in _LAYOUTS.items() if source in ("auto", kind)
    )
    raise DataError(
        f"{name} {root} has no images in a layout that is understood.\n"
        f"Found: {', '.join(entries[:8]) or 'nothing, it is empty'}{more}\nUnderstood:{understood}"
    )


def download_layout(cache_dir: Path, *, source: str = "auto", progress: bool = True) -> Layout:
    """Downloads CIFAR-10 into the cache, unless that has been done, and returns its files."""
    if source in ("batches", "folder"):
        raise DataError(f"source {source!r} cannot be downloaded, only parquet and tarball can. {_HELP}")
    downloads = cache_dir / "downloads"
    with locked(downloads, cache_dir):
        if (layout := _search(downloads, source)) is None:
            with explained_errors(cache_dir):
                downloads.mkdir(exist_ok=True)
            try:
                fetch_dataset(downloads, source=source, progress=progress)
            except DataError as error:
                raise DataError(f"CIFAR-10 cannot be downloaded ({error}). {_HELP}") from error
            layout = find_layout(downloads, source=source, name="the download")
    return layout


def open_layout(layout: Layout, cache_dir: Path, *, progress: bool = True) -> ImageDataset:
    """Returns the dataset of these files, decoded at most once."""
    try:
        return open_cached(layout, cache_dir, read=lambda: read_layout(layout, progress=progress))
    except OSError as error:
        raise DataError(f"{layout.root} cannot be read: {error}") from error


def read_layout(layout: Layout, *, progress: bool = True) -> ImageDataset:
    """Decodes the files of a dataset, and checks data in the form of CIFAR-10 to be CIFAR-10."""
    train, test, classes = _LAYOUTS[layout.kind][1](layout, progress=progress)
    if layout.kind != "folder":  # which may hold modified images
        train, test, classes = canonical_order(train, test, classes=classes, origin=layout.origin)
    return describe_dataset(train, test, classes=classes, origin=layout.origin)


def _search(root: Path, source: str) -> Layout | None:
    root = root.resolve()  # so that one place has one name, and one entry in the cache
    kinds = _LAYOUTS if source == "auto" else [source]
    return next((layout for kind in kinds if (layout := _LAYOUTS[kind][0](root)) is not None), None)
