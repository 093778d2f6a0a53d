"""CIFAR-10 as Parquet files in the Hugging Face layout (`uoft-cs/cifar10`)."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cifar_data.dataset.arrays import Split
from cifar_data.dataset.decode import SIDE, decode_exact, decode_images
from cifar_data.dataset.errors import DataError
from cifar_data.dataset.fingerprint import CANONICAL_CLASSES
from cifar_data.dataset.layout import Layout
from cifar_data.dataset.progress import ProgressBar, progress_bar

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")
_DEPTH = 4  # how many folders deep shards are looked for; the Hub's own cache needs 3
_ROWS = 2048  # decoded at a time, which bounds the memory


def find_parquet(root: Path) -> Layout | None:
    """Return the shards `train-*.parquet` and `test-*.parquet` in or below a folder, else None.

    The least deep folder that holds any counts.

    Raises:
        DataError: If a split or a shard is missing, or several folders are equally deep.
    """
    level = [root] if root.is_dir() else []
    for _ in range(_DEPTH + 1):
        scans = {folder: _scan(folder) for folder in level}
        found = [folder for folder, (shards, _) in scans.items() if shards]
        if len(found) > 1:
            raise DataError(
                f"{root} holds several Parquet datasets: {', '.join(map(str, found))}; give one as the root"
            )
        if found:
            shards = scans[found[0]][0]
            train, test = (_complete(found[0], shards, split=split) for split in ("train", "test"))
            return Layout("parquet", found[0], train, test)
        level = [subfolder for _, subfolders in scans.values() for subfolder in subfolders]
    return None


def read_parquet(layout: Layout, *, progress: bool) -> tuple[Split, Split, tuple[str, ...]]:
    """Return the training split, the test split and the class names.

    The class names stand in the schema's `huggingface` metadata; without it, they are CIFAR-10's.

    Raises:
        DataError: Naming the file, and the row where there is one.
    """
    rows = sum(_open(path).metadata.num_rows for path in layout.files)
    with progress_bar(rows, unit="image", description="Decoding parquet", enabled=progress) as bar:
        train, test = (_read_shards(paths, bar) for paths in (layout.train, layout.test))
    names = {path: _class_names(path) for path in layout.files}
    classes = names[layout.train[0]]
    for path, other in names.items():
        if other != classes:
            raise DataError(f"{path}: has the classes {other}, but {layout.train[0]} has {classes}")
    return train, test, classes


def _scan(folder: Path) -> tuple[list[str], list[Path]]:
    """Return the names of the shards in a folder, and its subfolders, both sorted."""
    shards, subfolders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    if not entry.name.startswith("."):
                        subfolders.append(folder / entry.name)
                elif entry.name.startswith(("train-", "test-")) and entry.name.endswith(".parquet"):
                    shards.append(entry.name)
    except PermissionError:  # a folder that we may not look into holds nothing for us
        return [], []
    return sorted(shards), sorted(subfolders)


def _complete(folder: Path, shards: list[str], *, split: str) -> tuple[Path, ...]:
    paths = [folder / name for name in shards if name.startswith(f"{split}-")]
    if not paths:
        raise DataError(
            f"{folder} has no {split}-*.parquet, only {', '.join(shards)}; "
            "both train-*.parquet and test-*.parquet are needed"
        )
    numbered = [_SHARD.search(path.name) for path in paths]
    totals = {int(match[2]) for match in numbered if match}
    if totals:
        present = [int(match[1]) for match in numbered if match]
        if len(totals) > 1 or None in numbered or sorted(present) != list(range(min(totals))):
            raise DataError(
                f"{folder}: the shards of {split} are incomplete or mixed: found "
                f"{', '.join(p.name for p in paths)}; needed is each of 00000 to {max(totals) - 1:05d} once"
            )
    return tuple(paths)


def _open(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    size = path.stat().st_size if path.is_file() else 0
    return DataError(
        f"{path}: truncated or altered, not readable as Parquet ({size:,} bytes): {error}. "
        "Replace the file by an intact one"
    )


def _read_shards(paths: tuple[Path, ...], bar: ProgressBar) -> Split:
    total = sum(_open(path).metadata.num_rows for path in paths)
    images = np.empty((total, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.empty(total, dtype=np.int64)
    start = 0
    for path in paths:
        file = _open(path)
        image_column, label_column = _columns(path, file.schema_arrow)
        first = start
        try:
            # One thread: Arrow's pool would outlive the call, and forking loader workers beside it is unsafe.
            batches = file.iter_batches(_ROWS, columns=[image_column, label_column], use_threads=False)
            for batch in batches:
                stop = start + batch.num_rows
                labels[start:stop] = _labels(batch.column(label_column), path=path, row=start - first)
                blobs = _blobs(batch.column(image_column), path=path, row=start - first)
                decode_images(
                    blobs,
                    decode_exact,
                    out=images[start:stop],
                    place=lambda index, path=path, row=start - first: f"{path}: row {row + index}",  # type: ignore[misc]
                    bar=bar,
                )
                start = stop
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error
    return Split(images, labels)


def _columns(path: Path, schema: Any) -> tuple[str, str]:
    image = next((name for name in ("img", "image") if name in schema.names), None)
    if image is None or "label" not in schema.names:
        raise DataError(
            f"{path}: has the columns {', '.join(schema.names)}; needed are img (or image) and label"
        )
    kind = schema.field(image).type
    is_struct = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not (is_struct or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"{path}: column {image} is {kind}; needed is struct<bytes: binary, ...> or binary")
    if not pa.types.is_integer(schema.field("label").type):
        raise DataError(f"{path}: column label is {schema.field('label').type}; needed is an integer type")
    return image, "label"


def _labels(column: Any, *, path: Path, row: int) -> Any:
    if column.null_count:
        raise DataError(f"{path}: row {row + _first_null(column)} has no label")
    return column.to_numpy(zero_copy_only=False)


def _blobs(column: Any, *, path: Path, row: int) -> list[bytes]:
    blobs = pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
    if blobs.null_count:
        raise DataError(f"{path}: row {row + _first_null(blobs)} has no image bytes")
    return blobs.to_pylist()


def _first_null(column: Any) -> int:
    return int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])


def _class_names(path: Path) -> tuple[str, ...]:
    metadata = (_open(path).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        label = json.loads(metadata).get("info", {}).get("features", {}).get("label", {})
        names = label.get("names", CANONICAL_CLASSES)
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: the schema's huggingface metadata is damaged: {error}") from error
    if not isinstance(names, list | tuple) or len(names) < 2 or not all(isinstance(n, str) for n in names):
        raise DataError(f"{path}: the class names in the schema are {names!r}; needed are two or more names")
    return tuple(names)
