"""CIFAR-10's test images for a gallery without them."""

import dataclasses
import io
import os
import re
import shutil
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cifar_explain import read_gallery
from cifar_space import MisclassifiedOptions, Service, built_in, example_paths, load_service
from cifar_space.artifacts import test_images
from cifar_space.artifacts.test_images import TEST_FILE, fetch_test_images, find_test_images

NAME = Path(TEST_FILE).name


@pytest.fixture
def gallery(run_folder):
    return read_gallery(run_folder / "gallery")


@pytest.fixture
def bare(gallery):
    return dataclasses.replace(gallery, images=None)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without the file."""
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)
    monkeypatch.setattr(test_images, "MOUNT", tmp_path / "mount")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)


def write(path, gallery, *, shift=0, size=32):
    """Writes a test set in which image number n has the colour n, apart from the gallery's own."""
    rows = []
    for number in range(len(gallery.labels)):
        file, own = io.BytesIO(), number in gallery.tiles and size == 32
        pixels = gallery.image(number) if own else np.full((size, size, 3), number, np.uint8)
        Image.fromarray(pixels).save(file, "PNG")
        rows.append({"bytes": file.getvalue(), "path": f"{number}.png"})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"img": rows, "label": np.roll(gallery.labels, shift)}), path)
    return path


@pytest.mark.parametrize("place", ["file", "folder", "CIFAR_DATA_DIR", "mount", "cache"])
def test_images_are_found_where_they_may_lie(gallery, bare, tmp_path, nowhere, monkeypatch, place):
    assert find_test_images(bare) is None
    names = {"folder": NAME, "CIFAR_DATA_DIR": TEST_FILE, "mount": f"mount/{TEST_FILE}"}
    file = write(tmp_path / names.get(place, "any.parquet"), gallery)
    if place == "CIFAR_DATA_DIR":
        monkeypatch.setenv("CIFAR_DATA_DIR", str(tmp_path))
    if place == "cache":
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(file))
    found = find_test_images(bare, {"file": file, "folder": tmp_path}.get(place))
    assert np.array_equal(found, gallery.images)


def test_other_files_are_rejected(gallery, tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"has no {TEST_FILE}")):
        find_test_images(gallery, tmp_path)
    broken, columns = tmp_path / "broken.parquet", tmp_path / "columns.parquet"
    broken.write_bytes(b"PAR1")
    pq.write_table(pa.table({"label": gallery.labels}), columns)
    for file, message in (
        (write(tmp_path / "a.parquet", gallery, shift=1), "has other labels than the gallery"),
        (write(tmp_path / "b.parquet", gallery, size=16), "images of 16x16 pixels"),
        (broken, "cannot be read"),
        (columns, "cannot be read"),
    ):
        with pytest.raises(ValueError, match=message):
            find_test_images(gallery, file)


def test_galleries_of_other_data_keep_their_images(bare, tmp_path):
    for change in ({"class_names": tuple("abcdefghij"), "human": None}, {"split": "val"}):
        other = dataclasses.replace(bare, **change)
        assert find_test_images(other, tmp_path) is None
        with pytest.raises(ValueError, match="not of CIFAR-10's test set"):
            fetch_test_images(other)


def test_images_are_fetched_from_the_hub(gallery, bare, tmp_path, monkeypatch):
    file = str(write(tmp_path / NAME, gallery))
    download = Mock(side_effect=[file, ConnectionError("no network")])
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert np.array_equal(fetch_test_images(bare), gallery.images)
    download.assert_called_once_with("uoft-cs/cifar10", TEST_FILE, repo_type="dataset")
    with pytest.raises(OSError, match=r"fetching .* failed: no network"):
        fetch_test_images(bare)


def test_services_have_the_images_or_say_why_not(run_files, gallery, nowhere, tmp_path, monkeypatch, caplog):
    def has_images(**options):
        files = dataclasses.replace(run_files, gallery=tmp_path, **options)
        return load_service(files).misclassified.has_images

    shutil.copy(run_files.gallery / "gallery.npz", tmp_path)
    file = write(tmp_path / "images" / NAME, gallery)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(file))
    assert not has_images()
    assert has_images(images=file)
    assert has_images(fetch_images=True)
    assert caplog.messages == []
    write(file, gallery, shift=1)
    assert not has_images(fetch_images=True)
    assert "has other labels than the gallery" in caplog.text
    with pytest.raises(ValueError, match="has other labels"):
        has_images(images=file)


@pytest.mark.data
def test_the_real_file_has_the_examples_at_their_indices():
    gallery = read_gallery(built_in().gallery)
    wrong = np.eye(10, dtype=np.float32)[(gallery.labels + 1) % 10]  # so that each image is stored
    whole = dataclasses.replace(gallery, probabilities=wrong, human=None)
    images = find_test_images(whole, os.environ["CIFAR_DATA_DIR"])
    assert images.shape == (10_000, 32, 32, 3)
    for path in example_paths():
        with Image.open(path) as image:
            assert np.array_equal(images[int(path.stem.rpartition("-")[2])], image)


def test_images_added_later_are_shown_and_explained(run_service, gallery, bare):
    service = Service(run_service.weights, gallery=bare)
    service.misclassified.add_images(gallery.images)
    options = MisclassifiedOptions(count=2, explain=True)
    pages = [one.misclassified_page(options).images for one in (service, run_service)]
    for got, expected in zip(*pages, strict=True):
        assert np.array_equal(got.seen, expected.seen)
        assert np.array_equal(got.maps, expected.maps)
