"""A small dataset in every layout, written as its publishers write it."""

import io
import json
import pickle
import struct
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cifar_data.dataset.arrays import Split
from cifar_data.sources.synthetic import make_synthetic

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Python2Pickler(pickle._Pickler):
    """Writes every string as one of bytes, and NumPy's module by its old name, as Python 2 did."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, text):
        data = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch[str] = dispatch[bytes] = save_string

    @classmethod
    def dumps(cls, content):
        file = io.BytesIO()
        cls(file, 2).dump(content)
        return file.getvalue().replace(b"numpy._core", b"numpy.core")


class Mini:
    """200 + 50 random images of ten balanced classes, with writers for each layout."""

    classes = CLASSES

    def __init__(self):
        rng = np.random.default_rng(7)
        self.train, self.test = (
            Split(rng.integers(0, 256, (size, 32, 32, 3), np.uint8), rng.permutation(np.arange(size) % 10))
            for size in (200, 50)
        )

    def check(self, dataset):
        """Compares a dataset with this one."""
        for found, wanted in ((dataset.train, self.train), (dataset.test, self.test)):
            np.testing.assert_array_equal(found.images, wanted.images)
            np.testing.assert_array_equal(found.labels, wanted.labels)

    @staticmethod
    def png(image):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        return buffer.getvalue()

    def write_folder(self, root):
        for name, split in (("train", self.train), ("test", self.test)):
            for index, (image, label) in enumerate(split):
                folder = root / name / CLASSES[label]
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{index:05d}.png").write_bytes(self.png(image))
        return root

    @staticmethod
    def write_shard(path, blobs, labels, *, names=CLASSES, column="img"):
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        images = pa.array([{"bytes": blob, "path": None} for blob in blobs], kind)
        table = pa.table({column: images, "label": pa.array(labels, pa.int64())})
        if names is not None:
            features = {"info": {"features": {"label": {"names": list(names), "_type": "ClassLabel"}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        pq.write_table(table, path)

    def write_parquet(self, folder, *, shards=1, **options):
        folder.mkdir(parents=True, exist_ok=True)
        for name, split in (("train", self.train), ("test", self.test)):
            for shard, indices in enumerate(np.array_split(np.arange(len(split)), shards)):
                path = folder / f"{name}-{shard:05d}-of-{shards:05d}.parquet"
                blobs = [self.png(image) for image in split.images[indices]]
                self.write_shard(path, blobs, split.labels[indices].tolist(), **options)
        return folder

    def batch_files(self):
        content = {"batches.meta": {"label_names": list(CLASSES), "num_vis": 3072}}
        parts = {f"data_batch_{n + 1}": (self.train, slice(40 * n, 40 * n + 40)) for n in range(5)}
        for name, (split, rows) in {**parts, "test_batch": (self.test, slice(None))}.items():
            data = split.images[rows].transpose(0, 3, 1, 2).reshape(-1, 3072)
            content[name] = {"data": data, "labels": split.labels[rows].tolist(), "batch_label": "a batch"}
        return {name: Python2Pickler.dumps(one) for name, one in content.items()}

    def write_batches(self, root):
        folder = root / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        for name, data in self.batch_files().items():
            (folder / name).write_bytes(data)
        return folder

    def write_tarball(self, path):
        files = {"readme.html": b"<html>", **self.batch_files()}
        with tarfile.open(path, "w:gz") as tar:
            # In the order of the authors, whose first is the fourth batch.
            for name in sorted(files, key=lambda name: name != "data_batch_4"):
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(files[name])
                tar.addfile(member, io.BytesIO(files[name]))
        return path


@pytest.fixture(scope="session")
def mini():
    return Mini()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no data anywhere else."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(folder))
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)
    return folder


@pytest.fixture
def small(monkeypatch):
    """200 + 40 drawn images, which every source gives to the data module."""
    dataset = make_synthetic(train_size=200, test_size=40, seed=0)
    monkeypatch.setattr("cifar_data.datamodule.open_dataset", lambda root, *, source, cache_dir: dataset)
    return dataset
