"""CIFAR-10 as Parquet files in the Hugging Face layout (`uoft-cs/cifar10`)."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cifar_data.dataset.arrays import SIDE, Content, DataError, Layout, Split
from cifar_data.dataset.decode import ProgressBar, decode_images
from cifar_data.dataset.fingerprint import compose_name

_SPLITS = ("train", "test")
_NAME = re.compile(r"(train|test)([-. ].*)?\.parquet")
_SHARD = re.compile(r"(\d+)-of-(\d+)")
_NUMBER = re.compile(r"(?:(?:train|test|part)-)?(\d{1,6})([-.].*)?\.parquet")
_DEPTH = 4  # how many folders deep shards are searched; the Hub's own cache needs 3
#: Names of the files.
NEEDED = "train-*.parquet and test-*.parquet, or train/*.parquet and test/*.parquet, also in subfolders"
_ROWS = 2048  # decoded at a time, which bounds the memory


def find_parquet(root: Path) -> Layout | None:
    """Returns the shards `train-*.parquet` and `test-*.parquet`, or `train/*.parquet` and `test/*.parquet`, else None.

    They are searched in the folder and below; the least deep folder that has any is used. Hidden folders are ignored.
    """
    found: dict[tuple[int, Path], dict[str, list[Path]]] = {}
    others = []
    for name, subfolders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        depth = len(folder.parts) - len(root.parts)
        shards = [folder / file for file in sorted(files) if file.endswith(".parquet")]
        visible = sorted(subfolder for subfolder in subfolders if not subfolder.startswith("."))
        subfolders[:] = [] if depth == _DEPTH else visible
        if folder.name in _SPLITS and depth and not visible and shards:
            found.setdefault((depth - 1, folder.parent), {}).setdefault(folder.name, []).extend(shards)
            continue
        for path in shards:
            if match := _NAME.fullmatch(path.name):
                found.setdefault((depth, folder), {}).setdefault(match[1], []).append(path)
            else:
                others.append(path)
    if not found:
        return None
    least, folder = min(found)
    same = [str(other) for depth, other in found if depth == least]
    if len(same) > 1:
        raise DataError(f"{root} has several Parquet datasets: {', '.join(same)}; give one as the root")
    train, test = (_complete(folder, found[least, folder], split=split) for split in _SPLITS)
    others += [path for shards in found.values() for paths in shards.values() for path in paths]
    left_out = {path for path in others if path.is_relative_to(folder)} - {*train, *test}
    return Layout("parquet", folder, train, test, left_out=tuple(sorted(left_out)))


def read_parquet(layout: Layout, *, progress: bool) -> Content:
    """Returns the content; the files may have no class names."""
    rows = sum(_open(path).metadata.num_rows for path in layout.files)
    classes = {_class_names(path): path for path in layout.files}
    if len(classes) > 1:
        raise DataError(f"files have different classes: {', '.join(f'{p}: {c}' for c, p in classes.items())}")
    with ProgressBar(enabled=progress, total=rows, unit="image", desc="Decoding parquet") as bar:
        splits = [[_read_shard(path, bar) for path in paths] for paths in (layout.train, layout.test)]
    return Split.join(splits[0]), Split.join(splits[1]), next(iter(classes))


def _complete(folder: Path, shards: dict[str, list[Path]], *, split: str) -> tuple[Path, ...]:
    """Returns the shards of a split, after checking by the numbers in their names that they are all, each once."""
    paths = shards.get(split, [])
    names = [path.name for path in paths]
    if not paths:
        found = ", ".join(path.name for others in shards.values() for path in others)
        raise DataError(f"{folder} has no {split}-*.parquet, only {found}; needed are {NEEDED}")
    of_total = sorted((int(m[1]), int(m[2])) for m in map(_SHARD.search, names) if m)
    plain = sorted(int(m[1]) for m in map(_NUMBER.fullmatch, names) if m)
    if of_total:
        total = of_total[-1][1]
        whole = len(of_total) == len(names) and of_total == [(number, total) for number in range(total)]
        needed = f"each of 00000 to {total - 1:05d} once"
    else:
        whole = not plain or plain == [*range(plain[0], plain[0] + len(names))]
        needed = "numbers without a gap"
    if not whole:
        found = f"the shards of {split} are incomplete or mixed: found {', '.join(names)}"
        raise DataError(f"{folder}: {found}; needed is {needed}")
    return tuple(paths)


@contextmanager
def _explained_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        size = path.stat().st_size if path.is_file() else 0
        found = f"truncated or altered, not readable as Parquet ({size:,} bytes): {error}"
        raise DataError(f"{path}: {found}. Replace the file by an intact one") from error


def _open(path: Path) -> Any:
    with _explained_errors(path):
        return pq.ParquetFile(path)


def _read_shard(path: Path, bar: ProgressBar) -> Split:
    file = _open(path)
    image_column = _image_column(path, file.schema_arrow)
    images = np.empty((file.metadata.num_rows, SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.empty(file.metadata.num_rows, dtype=np.int64)
    start = 0

    def place(index: int) -> str:
        return f"{path}: row {start + index}"

    with _explained_errors(path):
        # One thread: Arrow's pool would outlive the call, and forking loader workers beside it is unsafe.
        for batch in file.iter_batches(_ROWS, columns=[image_column, "label"], use_threads=False):
            blobs, numbers = batch.column(image_column), batch.column("label")
            if pa.types.is_struct(blobs.type):
                blobs = pc.struct_field(blobs, "bytes")
            for column, name in ((blobs, "image bytes"), (numbers, "label")):
                if column.null_count:
                    raise DataError(f"{place(column.is_null().to_pylist().index(True))} has no {name}")
            rows = slice(start, start + batch.num_rows)
            labels[rows] = numbers.to_numpy(zero_copy_only=False)
            images[rows] = decode_images(blobs.to_pylist(), place=place, bar=bar)
            start += batch.num_rows
    return Split(images, labels)


def _image_column(path: Path, schema: Any) -> str:
    """Returns the name of the column of images, after checking the columns' types."""
    image = next((name for name in ("img", "image") if name in schema.names), None)
    if image is None or "label" not in schema.names:
        found = f"has the columns {', '.join(schema.names)}"
        raise DataError(f"{path}: {found}; needed are img (or image) and label")
    kind = schema.field(image).type
    is_struct = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not (is_struct or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise DataError(f"{path}: column {image} is {kind}; needed is struct<bytes: binary, ...> or binary")
    if not pa.types.is_integer(schema.field("label").type):
        raise DataError(f"{path}: column label is {schema.field('label').type}; needed is an integer type")
    return image


def _class_names(path: Path) -> tuple[str, ...]:
    metadata = (_open(path).schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(metadata).get("info", {}).get("features", {}).get("label", {}).get("names", [])
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: the schema's huggingface metadata is damaged: {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: the class names in the schema are {names!r}; needed is a list of names")
    return tuple(map(compose_name, names))
