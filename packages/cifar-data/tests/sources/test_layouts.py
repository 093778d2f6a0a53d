"""Each layout decodes to the same pixels, and damage to any of them is named."""

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cifar_data import DataError, open_dataset
from cifar_data.sources.batches import find_batches, read_batches

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("below", [".", "plain_text", "snapshots/abc/plain_text"])
@pytest.mark.parametrize("shards", [1, 3])
def test_parquet(mini, tmp_path, below, shards, assert_same_content):
    mini.write_parquet(tmp_path / "data" / below, shards=shards)
    dataset = open_dataset(tmp_path / "data", progress=False)
    assert_same_content(dataset, mini.train, mini.test)
    assert dataset.classes == mini.classes


def test_batches_folder_or_the_folder_above_it(mini, tmp_path, assert_same_content):
    folder = mini.write_batches(tmp_path / "data")
    for root in (folder, folder.parent):
        dataset = open_dataset(root, progress=False)
        assert_same_content(dataset, mini.train, mini.test)
        assert dataset.classes == mini.classes


def test_tarball_or_the_folder_of_it(mini, tmp_path, assert_same_content):
    (tmp_path / "data").mkdir()
    path = mini.write_tarball(tmp_path / "data" / "cifar-10-python.tar.gz")
    for root in (path, path.parent):
        assert_same_content(open_dataset(root, progress=False), mini.train, mini.test)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing was unpacked beside it


def test_class_folders_are_sorted_by_class_and_name(mini, tmp_path):
    dataset = open_dataset(mini.write_folder(tmp_path / "data"), progress=False)
    order = np.argsort(mini.train.labels, kind="stable")
    np.testing.assert_array_equal(dataset.train.images, mini.train.images[order])
    np.testing.assert_array_equal(dataset.train.labels, mini.train.labels[order])
    assert dataset.classes == mini.classes


def test_all_ordered_layouts_have_one_fingerprint(mini, tmp_path):
    roots = [
        mini.write_parquet(tmp_path / "p", shards=2),
        mini.write_batches(tmp_path / "b"),
        mini.write_tarball(tmp_path / "cifar-10-python.tar.gz"),
    ]
    assert len({open_dataset(root, progress=False).fingerprint for root in roots}) == 1


def test_precedence_and_choice_by_name(mini, tmp_path):
    root = tmp_path / "data"
    mini.write_folder(root)
    mini.write_tarball(root / "cifar-10-python.tar.gz")
    mini.write_batches(root)
    mini.write_parquet(root / "plain_text")
    for kind in ("parquet", "batches", "tarball", "folder"):
        assert open_dataset(root, source=kind, progress=False).origin.startswith(kind)
    for kind, remove in (
        ("parquet", root / "plain_text"),
        ("batches", root / "cifar-10-batches-py"),
        ("tarball", None),
    ):
        assert open_dataset(root, progress=False).origin.startswith(kind)
        if remove:
            shutil.rmtree(remove)


def test_statistics_are_those_of_the_training_images(mini, tmp_path):
    dataset = open_dataset(mini.write_parquet(tmp_path / "data"), progress=False)
    pixels = mini.train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, pixels.std(axis=0), rtol=1e-12)


def test_parquet_without_metadata_or_with_plain_labels_has_the_canonical_names(mini, tmp_path):
    root = mini.write_parquet(tmp_path / "data", names=None, image_column="image")
    assert open_dataset(root, progress=False).classes == mini.classes


def test_parquet_of_other_classes(mini, tmp_path):
    names = [f"kind {number}" for number in range(10)]
    root = mini.write_parquet(tmp_path / "data", names=names)
    assert open_dataset(root, progress=False).classes == tuple(names)


def _refused(root: Path, *words: str, **options) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(root, progress=False, **options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_parquet(mini, tmp_path, keep, cache):
    path = mini.write_parquet(tmp_path / "data") / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    _refused(tmp_path / "data", str(path), "truncated or altered")
    assert not [p for p in (cache / "decoded").rglob("*") if p.is_dir()]


def test_altered_bytes_inside_parquet_are_noticed_or_harmless(mini, tmp_path, assert_same_content):
    path = mini.write_parquet(tmp_path / "data") / "train-00000-of-00001.parquet"
    whole = path.read_bytes()
    refused = 0
    for position in range(100, len(whole), len(whole) // 40):
        path.write_bytes(whole[:position] + bytes(16) + whole[position + 16 :])
        try:
            open_dataset(tmp_path / "data", progress=False)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017 - damage in some places cannot be seen
            refused += 1
    assert refused > 20


def test_damaged_image_names_file_and_row(mini, tmp_path, shard_writer, encode_png):
    mini.write_parquet(tmp_path / "data")
    blobs = [encode_png(image) for image in mini.train.images]
    blobs[137] = blobs[137][:200]
    path = tmp_path / "data" / "train-00000-of-00001.parquet"
    shard_writer(path, blobs, mini.train.labels.tolist())
    _refused(tmp_path / "data", f"{path}: row 137")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("size", ("row 3", "28x28", "32x32")),
        ("bytes", ("row 3", "no image bytes")),
        ("label", ("row 4", "no label")),
        ("range", ("image 5", "label 10", "0 to 9")),
        ("negative", ("label -1", "0 to 9")),
        ("class", ("training split", "no image of cat")),
        ("empty", ("no images",)),
    ],
)
def test_wrong_rows(mini, tmp_path, shard_writer, encode_png, what, words):
    mini.write_parquet(tmp_path / "data")
    blobs = [encode_png(image) for image in mini.train.images]
    labels = mini.train.labels.tolist()
    if what == "size":
        blobs[3] = encode_png(np.zeros((28, 28, 3), np.uint8))
    elif what == "bytes":
        blobs[3] = None
    elif what == "label":
        labels[4] = None
    elif what == "range":
        labels[5] = 10
    elif what == "negative":
        labels[5] = -1
    elif what == "class":
        labels = [0 if label == 3 else label for label in labels]
    elif what == "empty":
        blobs, labels = [], []
    shard_writer(tmp_path / "data" / "train-00000-of-00001.parquet", blobs, labels)
    _refused(tmp_path / "data", *words)


def test_missing_shard_and_missing_split(mini, tmp_path):
    root = mini.write_parquet(tmp_path / "data", shards=3)
    (root / "train-00001-of-00003.parquet").unlink()
    _refused(root, "incomplete", "train-00002-of-00003.parquet", "00000 to 00002")
    for path in root.glob("train-*"):
        path.unlink()
    _refused(root, "no train-*.parquet", "test-00000-of-00003.parquet")


def test_two_parquet_datasets_are_not_guessed_between(mini, tmp_path):
    for name in ("one", "two"):
        mini.write_parquet(tmp_path / "data" / name)
    _refused(tmp_path / "data", "several", "one", "two")


def test_parquet_of_other_columns(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        pq.write_table(pa.table({"text": ["a"], "label": [0]}), tmp_path / "data" / f"{name}-0.parquet")
    _refused(tmp_path / "data", "text, label", "img (or image)")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_truncated_tarball(mini, tmp_path, keep):
    path = mini.write_tarball(tmp_path / "cifar-10-python.tar.gz")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    _refused(path, str(path), "expected md5 c58f30108f718f92721af3b95e74349a, found ")


def test_altered_tarball(mini, tmp_path):
    path = mini.write_tarball(tmp_path / "cifar-10-python.tar.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    _refused(path, str(path), "expected md5")


def test_tarball_without_a_batch(mini, tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, data in mini.batch_files().items():
            if name != "data_batch_2":
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    _refused(path, "lacks data_batch_2")


def test_batches_without_a_file(mini, tmp_path):
    folder = mini.write_batches(tmp_path / "data")
    (folder / "data_batch_3").unlink()
    (folder / "batches.meta").unlink()
    _refused(folder, "lacks data_batch_3, batches.meta")


def test_truncated_batch_names_the_file(mini, tmp_path):
    folder = mini.write_batches(tmp_path / "data")
    path = folder / "data_batch_3"
    path.write_bytes(path.read_bytes()[:5000])
    _refused(folder, "data_batch_3", "truncated or altered")


def test_a_batch_is_read_as_numpy_reads_it(mini, tmp_path):
    train, _, _ = read_batches(find_batches(mini.write_batches(tmp_path / "data")), progress=False)
    np.testing.assert_array_equal(train.images, mini.train.images)


def test_class_folders_that_differ(mini, tmp_path):
    root = mini.write_folder(tmp_path / "data")
    shutil.rmtree(root / "test" / "deer")
    _refused(root, str(root / "test"), "lacks deer")
    shutil.rmtree(root / "test")
    _refused(root, "no test folder")


def test_class_folder_without_images(mini, tmp_path):
    root = mini.write_folder(tmp_path / "data")
    shutil.rmtree(root / "test" / "deer")
    (root / "test" / "deer").mkdir()
    (root / "test" / "deer" / "notes.txt").write_text("soon")
    _refused(root, "deer", "no images", "notes.txt", ".png")


def test_damaged_file_in_a_class_folder(mini, tmp_path):
    root = mini.write_folder(tmp_path / "data")
    path = next((root / "train" / "frog").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    _refused(root, str(path), "cannot decode")
