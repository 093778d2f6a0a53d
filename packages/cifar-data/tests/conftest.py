"""Small datasets in every layout, written as their publishers write them."""

import io
import json
import struct
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from cifar_data.dataset.arrays import ImageDataset, Split
from cifar_data.sources.synthetic import make_synthetic

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Mini:
    """200 + 50 random images of ten balanced classes, with writers for each layout."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.classes = CLASSES
        self.train, self.test = (
            Split(
                rng.integers(0, 256, size=(size, 32, 32, 3), dtype=np.uint8),
                rng.permutation(np.arange(size, dtype=np.int64) % 10),
            )
            for size in (200, 50)
        )

    def write_parquet(
        self,
        folder: Path,
        *,
        shards: int = 1,
        names: Sequence[str] | None = CLASSES,
        image_column: str = "img",
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, split in (("train", self.train), ("test", self.test)):
            for shard, indices in enumerate(np.array_split(np.arange(len(split)), shards)):
                write_shard(
                    folder / f"{name}-{shard:05d}-of-{shards:05d}.parquet",
                    [png(split.images[i]) for i in indices],
                    split.labels[indices].tolist(),
                    names=names,
                    image_column=image_column,
                )
        return folder

    def write_batches(self, root: Path) -> Path:
        folder = root / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        for name, data in self.batch_files().items():
            (folder / name).write_bytes(data)
        return folder

    def write_tarball(self, path: Path) -> Path:
        with tarfile.open(path, "w:gz") as tar:
            # The authors' own order of members.
            for name in ("batches.meta", "data_batch_4", "readme.html", "test_batch", "data_batch_3",
                         "data_batch_2", "data_batch_5", "data_batch_1"):  # fmt: skip
                data = self.batch_files().get(name, b"<html>")
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return path

    def write_folder(self, root: Path) -> Path:
        for name, split in (("train", self.train), ("test", self.test)):
            for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
                folder = root / name / CLASSES[label]
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{index:05d}.png").write_bytes(png(image))
        return root

    def batch_files(self) -> dict[str, bytes]:
        parts = np.array_split(np.arange(len(self.train)), 5)
        files = {
            f"data_batch_{number}": python2_batch(self.train.images[part], self.train.labels[part])
            for number, part in enumerate(parts, start=1)
        }
        files["test_batch"] = python2_batch(self.test.images, self.test.labels)
        names = b"".join(python2_string(name.encode()) for name in CLASSES)
        files["batches.meta"] = (
            b"\x80\x02}(" + python2_string(b"label_names") + b"](" + names + b"e"
            + python2_string(b"num_vis") + b"M\x00\x0cu."
        )  # fmt: skip
        return files


def png(image: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(
    path: Path,
    blobs: Sequence[bytes | None],
    labels: Sequence[int | None],
    *,
    names: Sequence[str] | None = CLASSES,
    image_column: str = "img",
) -> None:
    images = pa.array([{"bytes": blob, "path": None} for blob in blobs],
                      pa.struct({"bytes": pa.binary(), "path": pa.string()}))  # fmt: skip
    table = pa.table({image_column: images, "label": pa.array(labels, pa.int64())})
    if names is not None:
        features = {"info": {"features": {"label": {"names": list(names), "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, path)


def python2_string(text: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(text)) + text


def python2_batch(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> bytes:
    """A batch as Python 2's cPickle wrote it: protocol 2, 8-bit strings, numpy's old module names."""
    raw = images.transpose(0, 3, 1, 2).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + python2_string(b"b") + b"\x87R"
        + b"(K\x01" + b"J" + struct.pack("<i", len(images)) + b"J" + struct.pack("<i", 3072) + b"\x86"
        + b"cnumpy\ndtype\n" + python2_string(b"u1") + b"K\x00K\x01\x87R"
        + b"(K\x03" + python2_string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89" + python2_string(raw) + b"tb"
    )  # fmt: skip
    numbers = b"".join(b"J" + struct.pack("<i", label) for label in labels)
    return (
        b"\x80\x02}(" + python2_string(b"data") + array + python2_string(b"labels") + b"](" + numbers + b"e"
        + python2_string(b"batch_label") + python2_string(b"testing batch 1 of 1") + b"u."
    )  # fmt: skip


@pytest.fixture(scope="session")
def mini() -> Mini:
    return Mini()


@pytest.fixture
def shard_writer():
    return write_shard


@pytest.fixture
def encode_png():
    return png


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no data anywhere else."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(folder))
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)
    return folder


def same_content(dataset, train: Split, test: Split) -> None:
    for found, wanted in ((dataset.train, train), (dataset.test, test)):
        np.testing.assert_array_equal(found.images, wanted.images)
        np.testing.assert_array_equal(found.labels, wanted.labels)


@pytest.fixture
def assert_same_content():
    return same_content


@pytest.fixture
def small(monkeypatch) -> ImageDataset:
    """200 + 40 drawn images, which every source gives to the data module."""
    dataset = make_synthetic(train_size=200, test_size=40, seed=0)
    monkeypatch.setattr("cifar_data.datamodule.open_dataset", lambda root, *, source, cache_dir: dataset)
    return dataset


@pytest.fixture
def check_batches():
    """Check the promises of every loader; return the sizes of the batches."""

    def check(batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> list[int]:
        sizes = []
        for images, labels in batches:
            assert images.shape == (len(labels), 3, 32, 32)
            assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
            assert images.is_contiguous(memory_format=torch.channels_last)
            sizes.append(len(labels))
        return sizes

    return check
