"""Each layout decodes to the same pixels, and damage to any of them is named."""

import gzip
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cifar_data import DataError, open_dataset

pytestmark = pytest.mark.usefixtures("cache")

TRAIN = "train-00000-of-00001.parquet"
TARBALL = "cifar-10-python.tar.gz"


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def parquet(mini, data):
    """A folder with one file a split."""
    return mini.write_parquet(data)


def rejected(root, *words):
    with pytest.raises(DataError) as caught:
        open_dataset(root)
    for word in words:
        assert word in str(caught.value)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize("below", [".", "plain_text", "snapshots/abc/plain_text"])
@pytest.mark.parametrize("shards", [1, 3])
def test_parquet_is_found_in_subfolders_and_in_shards(mini, data, below, shards):
    mini.write_parquet(data / below, shards=shards)
    dataset = open_dataset(data)
    mini.check(dataset)
    assert dataset.classes == mini.classes
    pixels = mini.train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose([dataset.mean, dataset.std], [pixels.mean(0), pixels.std(0)], rtol=1e-12)


@pytest.mark.parametrize("names", [None, [f"kind {number}" for number in range(10)]])
def test_parquet_of_other_classes_has_their_names_or_numbers(mini, data, names):
    root = mini.write_parquet(data, names=names, column="image")
    assert open_dataset(root).classes == tuple(names or "0123456789")


@pytest.mark.parametrize("kind", ["batches", "tarball"])
def test_batches_and_tarball_are_found_as_the_root_and_in_it(mini, data, kind):
    data.mkdir()
    path = mini.write_batches(data) if kind == "batches" else mini.write_tarball(data / TARBALL)
    for root in (path, data):
        dataset = open_dataset(root)
        mini.check(dataset)
        assert dataset.classes == mini.classes
    assert list(data.iterdir()) == [path]  # nothing was unpacked beside it


def test_class_folders_are_sorted_by_class_and_name(mini, data):
    dataset = open_dataset(mini.write_folder(data))
    order = np.argsort(mini.train.labels, kind="stable")
    np.testing.assert_array_equal(dataset.train.images, mini.train.images[order])
    np.testing.assert_array_equal(dataset.train.labels, mini.train.labels[order])
    assert dataset.classes == mini.classes


def test_precedence_and_choice_by_name(mini, data):
    mini.write_folder(data)
    mini.write_tarball(data / TARBALL)
    mini.write_batches(data)
    mini.write_parquet(data / "plain_text")
    kinds = ("parquet", "batches", "tarball", "folder")
    datasets = [open_dataset(data, source=kind) for kind in kinds]
    assert [dataset.origin.split()[0] for dataset in datasets] == list(kinds)
    assert len({dataset.fingerprint for dataset in datasets[:3]}) == 1
    for kind, place in (("parquet", "plain_text"), ("batches", "cifar-10-batches-py"), ("tarball", ".")):
        assert open_dataset(data).origin.startswith(kind)
        shutil.rmtree(data / place)


@pytest.mark.parametrize("name", ["{}/0000.parquet", "a/{}/part-0-c000.snappy.parquet", "{}.parquet"])
def test_parquet_named_after_its_split_in_other_ways_is_read(mini, parquet, tmp_path, name):
    for split in ("train", "test"):
        path = tmp_path / "other" / name.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        (parquet / f"{split}-00000-of-00001.parquet").rename(path)
    mini.check(open_dataset(tmp_path / "other"))


@pytest.mark.parametrize(
    "names",
    [
        ["-00001-of-00002.zstd"],
        ["-00000-of-00002-ab12", "-00001-of-00002-ab12", "-00001-of-00002-cd34"],
        ["-00000-of-00001", "-00000-of-00001 (1)"],
        ["-0", "-1", "-3"],
        ["/part-00000-4f3c.snappy", "/part-00002-4f3c.snappy"],
        ["/part-00000-4f3c", "/part-00000-9a1b"],
        ["", "-1"],
        ["-0", "/0000"],
        ["-00000-of-00003", "-00002-of-00003"],
    ],
)
def test_shards_that_are_incomplete_or_doubled_are_rejected(parquet, names):
    (parquet / TRAIN).rename(parquet / "whole")
    for name in names:
        path = parquet / f"train{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(parquet / "whole", path)
    rejected(parquet, "the shards of train are incomplete or mixed", path.name)


def test_parquet_of_names_that_tell_no_split_is_rejected(mini, parquet):
    for path in list(parquet.iterdir()):
        path.rename(parquet / f"all-{path.name}")
    rejected(parquet, "all-test-00000-of-00001.parquet", "parquet: train-*.parquet and test-*.parquet, or")
    folder = mini.write_batches(parquet)  # another layout beside them is found
    assert open_dataset(parquet).origin == f"batches {folder}"


def test_parquet_of_a_third_split_or_in_another_folder_is_named(parquet):
    (parquet / "old").mkdir()
    for name in ("validation.parquet", f"old/{TRAIN}"):
        shutil.copy(parquet / TRAIN, parquet / name)
    with pytest.warns(UserWarning, match=rf"2 files not read: old/{TRAIN}, validation\.parquet"):
        assert len(open_dataset(parquet).train) == 200


def test_images_are_known_by_their_content_and_others_are_counted_and_named(mini, data):
    frog = mini.write_folder(data) / "train" / "frog"
    count = len(list(frog.iterdir()))
    picture = Image.new("RGB", (40, 32), "red")
    for place, kind in (("a", "WEBP"), ("b.jpe", "JPEG"), ("c.txt", "GIF"), ("pond/deep/d.JP2", "JPEG2000")):
        (frog / place).parent.mkdir(parents=True, exist_ok=True)
        picture.save(frog / place, kind)
    litter = [".DS_Store", "__MACOSX/._a", "frog/@eaDir/0.png", "../a.md"]
    litter += ["cat/__MACOSX/._0.png", "cat/._0.png"]
    left_out = ["frog/notes.png.md", "frog/.hidden", "stray.jfif", "../third/cat/0.png", "../beside"]
    for place in litter + left_out:
        (data / "train" / place).parent.mkdir(parents=True, exist_ok=True)
        (data / "train" / place).write_text("no image", encoding="utf-8")
    for place in left_out[1:]:
        picture.save(data / "train" / place, "PNG")
    den = data / "train" / "cat" / "den"
    den.mkdir()
    loops = {frog / "loop": frog, frog / "pond" / "back": den, den / "there": frog / "pond"}
    for loop, target in loops.items():
        loop.symlink_to(target)
    with pytest.warns(UserWarning, match="5 files not read: ") as caught:
        dataset = open_dataset(data)
    assert (dataset.train.labels == mini.classes.index("frog")).sum() == count + 4
    for place in left_out:
        assert place.removeprefix("../") in str(caught[0].message)


def test_class_names_alike_in_two_unicode_forms_are_one_and_others_are_told_apart(tmp_path):
    nfc, nfd = "\u00e9t\u00e9", "e\u0301te\u0301"
    for place in (f"train/{nfc}", f"train/{nfd}", f"test/{nfd}", "train/dog", "test/dog"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / place / "0.png")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("dog", nfc)
    assert dataset.train.labels.tolist() == [0, 1, 1]
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "d\u043eg")
    rejected(tmp_path, r"('d\u043eg')", "lacks 'dog'")


def test_truncated_parquet_is_rejected_and_altered_bytes_are_noticed_or_harmless(parquet, cache):
    path = parquet / TRAIN
    whole, noticed = path.read_bytes(), []
    for position in range(100, len(whole), len(whole) // 40):
        path.write_bytes(whole[:position] + bytes(16) + whole[position + 16 :])
        try:
            open_dataset(parquet)
        except DataError as error:
            noticed.append(str(path) in str(error))
    assert all(noticed)
    assert len(noticed) > 20
    shutil.rmtree(cache / "decoded")
    for keep in (0.99, 0.5, 0):
        path.write_bytes(whole[: int(len(whole) * keep)])
        rejected(parquet, str(path), "truncated or altered")
    assert not [entry for entry in (cache / "decoded").rglob("*") if entry.is_dir()]


@pytest.mark.parametrize(
    ("columns", "rows", "value", "words"),
    [
        ("images", 137, b"\x89PNG", (f"{TRAIN}: row 137", "cannot decode")),
        ("images", 3, np.zeros((28, 28, 3), np.uint8), ("row 3", "28x28", "32x32")),
        ("images", 3, None, ("row 3", "no image bytes")),
        ("labels", 4, None, ("row 4", "no label")),
        ("labels", 5, 10, ("image 5", "label 10", "0 to 9")),
        ("labels", 5, -1, ("label -1", "0 to 9")),
        ("labels", slice(None), [*range(3), *range(4, 10)] * 22 + [0, 1], ("no image of cat among its 200",)),
        ("images labels", slice(None), [], ("training split", "no image of airplane", "its 0 images")),
    ],
)
def test_wrong_rows_are_named(mini, parquet, columns, rows, value, words):
    content = {"images": list(map(mini.png, mini.train.images)), "labels": mini.train.labels.tolist()}
    for column in columns.split():
        content[column][rows] = mini.png(value) if isinstance(value, np.ndarray) else value
    mini.write_shard(parquet / TRAIN, *content.values())
    rejected(parquet, *words)


def test_a_missing_split_and_a_second_dataset_are_named(mini, data):
    for name in ("one", "two"):
        mini.write_parquet(data / name)
    rejected(data, "several", "one", "two")
    (data / "one" / TRAIN).unlink()
    rejected(data / "one", "no train-*.parquet", "test-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"text": ["a"], "label": [0]}, ("text, label", "img (or image)")),
        ({"img": ["a"], "label": [0]}, ("column img is string",)),
        ({"img": [b"a"], "label": ["cat"]}, ("column label is string",)),
    ],
)
def test_parquet_of_other_columns_is_rejected(tmp_path, columns, words):
    for name in ("train", "test"):
        pq.write_table(pa.table(columns), tmp_path / f"{name}-0.parquet")
    rejected(tmp_path, *words)


def without_batch_2(tarball):
    # The sum of the letters, which tar checks, stays.
    return gzip.compress(gzip.decompress(tarball).replace(b"data_batch_2", b"data_batch2_"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *((lambda data, keep=keep: data[: int(keep * len(data))], "") for keep in (0.0, 0.3, 0.97)),
        (lambda data: data[: len(data) // 2] + b"damaged" + data[len(data) // 2 + 7 :], ""),
        (without_batch_2, "lacks data_batch_2"),
    ],
)
def test_a_damaged_tarball_is_rejected(mini, tmp_path, damage, message):
    path = mini.write_tarball(tmp_path / TARBALL)
    path.write_bytes(damage(path.read_bytes()))
    rejected(path, str(path), message, "expected md5 c58f30108f718f92721af3b95e74349a, found ")


def test_missing_and_truncated_batches_are_named(mini, data):
    folder = mini.write_batches(data)
    cut(folder / "data_batch_3", 0.1)
    rejected(folder, "data_batch_3", "truncated or altered")
    (folder / "data_batch_3").unlink()
    (folder / "batches.meta").unlink()
    rejected(folder, "lacks data_batch_3, batches.meta")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("batches.meta", {"label_names": []}, "label_names is []"),
        ("data_batch_1", {"data": 1, "labels": []}, "needed are data (an array) and labels (a list)"),
        ("data_batch_1", {"data": np.zeros((1, 9), np.uint8), "labels": [0]}, "data has the shape (1, 9)"),
        ("test_batch", {"data": np.zeros((1, 3072), np.uint8), "labels": [0.5]}, "has the label 0.5"),
        ("test_batch", [1], "the pickle has list, not a dictionary"),
    ],
)
def test_batches_of_other_content_are_named(mini, data, name, content, words):
    folder = mini.write_batches(data)
    (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    rejected(folder, name, words)


def test_incomplete_class_folders_are_named(mini, data):
    mini.write_folder(data)
    path = next((data / "train" / "frog").iterdir())
    cut(path, 0.1)
    rejected(data, str(path), "cannot decode")
    deer = data / "test" / "deer"
    shutil.rmtree(deer)
    rejected(data, str(data / "test"), "lacks 'deer'")
    deer.mkdir()
    (deer / "notes.txt").write_text("soon", encoding="utf-8")
    rejected(data, "deer", "no images", "notes.txt")
    shutil.rmtree(data / "test")
    rejected(data, "no test folder")
    for split in ("train", "test"):
        (data / "one" / split / "cat").mkdir(parents=True)
    rejected(data / "one", "has 1 class folders in train and test; at least two are needed")
