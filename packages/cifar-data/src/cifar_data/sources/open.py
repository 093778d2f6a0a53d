"""Where the images come from: the place is given or found, its layout recognised, its content read."""

import os
from pathlib import Path

from cifar_data.dataset.arrays import ImageDataset
from cifar_data.dataset.cache import explained_errors, locked, open_cached, resolve_cache_dir
from cifar_data.dataset.errors import DataError
from cifar_data.dataset.fingerprint import canonical_order, claims_canonical, describe_dataset
from cifar_data.dataset.layout import Layout
from cifar_data.settings import SOURCES
from cifar_data.sources.batches import find_batches, find_tarball, read_batches, read_tarball
from cifar_data.sources.download import fetch_dataset
from cifar_data.sources.folders import find_folder, read_folder
from cifar_data.sources.parquet import find_parquet, read_parquet
from cifar_data.sources.synthetic import make_synthetic
from cifar_data.validation import check_choice

# In order of precedence where a folder has several.
_FINDERS = {"parquet": find_parquet, "batches": find_batches, "tarball": find_tarball, "folder": find_folder}
_READERS = {"parquet": read_parquet, "batches": read_batches, "tarball": read_tarball, "folder": read_folder}

_UNDERSTOOD = {
    "parquet": "train-*.parquet and test-*.parquet, also in folders below (Hugging Face)",
    "batches": "cifar-10-batches-py, or the files data_batch_1 to 5, test_batch and batches.meta",
    "tarball": "cifar-10-python.tar.gz",
    "folder": "images in train/<class>/ and test/<class>/",
}

_HELP = (
    "Give the folder of the images with --data.root (cifar-data: --root) or CIFAR_DATA_DIR, "
    "or ask for drawn shapes instead with --data.source synthetic (cifar-data: --source synthetic)"
)


def open_dataset(
    root: str | os.PathLike[str] | None = None,
    *,
    source: str = "auto",
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> ImageDataset:
    """Return the dataset from wherever it is; the first time it is decoded, later opened in well under 1 s.

    Looked for in `root`; if that is not given, in the folder that `CIFAR_DATA_DIR` names; if that is not set
    either, among earlier downloads in the cache; and if there are none, it is downloaded. Where a folder has
    several layouts, the first of parquet, batches, tarball and folder counts, even if it lacks files.

    Args:
        root: The folder of the images, or the tarball.
        source: `parquet`, `batches`, `tarball` or `folder` accept only that layout, `auto` any of them;
            `synthetic` draws shapes in memory, and reads no root.
        cache_dir: Where decoded images and downloads are kept; without it `CIFAR_CACHE_DIR`, else the user's
            cache folder.
        progress: Whether to show progress bars on stderr.

    Raises:
        DataError: If there are no data, or they are damaged, altered or in no known layout, or the cache
            cannot be written.
        ValueError: If the source is none of these.

    >>> open_dataset(source="synthetic").origin
    'synthetic shapes, seed 0'
    """
    check_choice("data.source", source, allowed=SOURCES)
    if source == "synthetic":
        return make_synthetic()
    cache = resolve_cache_dir(cache_dir)
    layout = locate_layout(root, source=source, cache_dir=cache)
    if layout is None:
        layout = download_layout(cache, source=source, progress=progress)
    return open_layout(layout, cache, progress=progress)


def locate_layout(root: str | os.PathLike[str] | None, *, source: str, cache_dir: Path) -> Layout | None:
    """Return the files that `open_dataset` would read, or None if it would have to download them.

    Raises:
        DataError: If a root is given, by argument or by `CIFAR_DATA_DIR`, and nothing usable is there.
    """
    given = {"the root": root, "CIFAR_DATA_DIR": os.environ.get("CIFAR_DATA_DIR")}
    for name, place in given.items():
        if place:
            return find_layout(Path(place).expanduser(), source=source, name=name)
    return find_download(cache_dir, source=source)


def find_layout(root: Path, *, source: str = "auto", name: str = "the root") -> Layout:
    """Return the files of the dataset in a folder, in the layout that the source names or any.

    Args:
        root: The folder, or the tarball.
        source: `auto`, `parquet`, `batches`, `tarball` or `folder`.
        name: What errors call the root.

    Raises:
        DataError: Saying what was found there and what is understood.
    """
    try:
        layout = _search(root.resolve(), source)  # so that one place has one name, and one entry in the cache
        if layout is not None:
            return layout
        if not root.exists():
            raise DataError(f"{name} {root} does not exist. {_HELP}")
        entries = sorted(path.name for path in root.iterdir()) if root.is_dir() else [f"the file {root.name}"]
    except OSError as error:
        raise DataError(f"{name} {root} cannot be read: {error.strerror or error}") from error
    more = f" and {len(entries) - 8} more" if len(entries) > 8 else ""
    understood = "".join(
        f"\n  {kind}: {text}" for kind, text in _UNDERSTOOD.items() if source in ("auto", kind)
    )
    raise DataError(
        f"{name} {root} has no images in a layout that is understood.\n"
        f"Found: {', '.join(entries[:8]) or 'nothing, it is empty'}{more}\nUnderstood:{understood}"
    )


def find_download(cache_dir: Path, *, source: str = "auto") -> Layout | None:
    """Return the files of an earlier download, or None if there is none, or only one that has not ended.

    Args:
        cache_dir: The cache folder.
        source: As for `find_layout`; what was downloaded in another layout does not count.

    Raises:
        DataError: If files of a download that had ended are missing.
    """
    downloads = downloads_dir(cache_dir).resolve()  # one name for one place, as in find_layout
    return _search(downloads, source)


def download_layout(cache_dir: Path, *, source: str = "auto", progress: bool = True) -> Layout:
    """Download CIFAR-10 into the cache, unless another process has just done so, and return its files.

    Raises:
        DataError: Saying what was tried, and why each failed.
    """
    downloads = downloads_dir(cache_dir)
    tried = ["the root: not given", "CIFAR_DATA_DIR: not set", f"earlier downloads: none in {downloads}"]
    if source in ("batches", "folder"):
        tried.append(f"download: source {source!r} cannot be downloaded, only parquet and tarball can")
        raise DataError(_no_data(tried))
    with locked(downloads, cache_dir):
        layout = find_download(cache_dir, source=source)
        if layout is None:
            try:
                with explained_errors(cache_dir):
                    fetch_dataset(downloads, source=source, progress=progress)
            except DataError as error:
                raise DataError(_no_data([*tried, *str(error).splitlines()])) from error
            layout = find_layout(downloads, source=source, name="the download")
    return layout


def open_layout(layout: Layout, cache_dir: Path, *, progress: bool = True) -> ImageDataset:
    """Return the dataset of these files from the cache, decoding them first if needed.

    Raises:
        DataError: If the files are damaged or altered, or the cache cannot be written.
    """
    try:
        return open_cached(layout, cache_dir, read=lambda: read_layout(layout, progress=progress))
    except OSError as error:
        raise DataError(f"{layout.root} cannot be read: {error}") from error


def read_layout(layout: Layout, *, progress: bool = True) -> ImageDataset:
    """Return the decoded files of a dataset; data in the form of CIFAR-10 is checked to be CIFAR-10.

    Class folders are not checked: whoever lays out images by hand may mean other ones.

    Raises:
        DataError: If the files are damaged or altered.
    """
    train, test, classes = _READERS[layout.kind](layout, progress=progress)
    if layout.kind != "folder" and claims_canonical(train, test, classes):
        train, test = canonical_order(train, test, origin=layout.origin)
    return describe_dataset(train, test, classes=classes, origin=layout.origin)


def downloads_dir(cache_dir: Path) -> Path:
    """Return the folder of downloads in a cache folder."""
    return cache_dir / "downloads"


def _search(root: Path, source: str) -> Layout | None:
    for kind, find in _FINDERS.items():
        layout = find(root) if source in ("auto", kind) else None
        if layout is not None:
            return layout
    return None


def _no_data(tried: list[str]) -> str:
    return "\n".join(
        ["No CIFAR-10 found, and none could be downloaded. Tried:", *map("  {}".format, tried), _HELP]
    )
