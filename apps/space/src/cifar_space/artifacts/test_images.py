"""CIFAR-10's test images for a gallery that lies there without them, from the data set's Parquet file."""

import dataclasses
import io
import logging
import os
from pathlib import Path

import huggingface_hub
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cifar_explain import Gallery
from cifar_models import CIFAR10

#: The data set on the Hugging Face Hub, and its file of test images, 24 MB.
DATASET, TEST_FILE = "uoft-cs/cifar10", "plain_text/test-00000-of-00001.parquet"

#: Where a deployed Space has the data set.
MOUNT = Path("/cifar10")


def with_test_images(
    gallery: Gallery, path: str | os.PathLike[str] | None = None, *, fetch: bool = False
) -> Gallery:
    """Returns a gallery with the images that `find_test_images` finds or, if asked, `fetch_test_images` fetches.

    A file in the default places that is not usable, and a failed fetch, are logged in one line, since all else works.
    """
    if gallery.images is not None:
        return gallery
    try:
        images = find_test_images(gallery, path)
        if images is None and fetch and is_of_cifar10(gallery):
            images = fetch_test_images(gallery)
    except (OSError, ValueError) as error:
        if path is not None:
            raise
        logging.getLogger(__name__).warning("no images of the errors: %s", error)
        return gallery
    return dataclasses.replace(gallery, images=images)


def find_test_images(
    gallery: Gallery, path: str | os.PathLike[str] | None = None
) -> NDArray[np.uint8] | None:
    """Returns the images that a gallery of CIFAR-10's test set lacks, from a file on this machine.

    They are those of `gallery.tiles`, uint8 `(T, 32, 32, 3)`; None if the gallery is not of CIFAR-10's test set, or
    there is no such file in the default places. Contacts no host.

    Args:
        gallery: With or without images.
        path: The Parquet file, or a folder that has it directly or in `plain_text`. By default it is looked for in
            `CIFAR_DATA_DIR`, a Space's mounted data set and the Hugging Face cache.

    Raises:
        FileNotFoundError: If `path` has no such file.
        ValueError: If the file is damaged or its labels are not the gallery's.
    """
    if not is_of_cifar10(gallery):
        return None
    places: list[str | os.PathLike[str] | None] = [path]
    if path is None:
        cached = huggingface_hub.try_to_load_from_cache(DATASET, TEST_FILE, repo_type="dataset")
        places = [os.environ.get("CIFAR_DATA_DIR"), MOUNT, cached if isinstance(cached, str) else None]
    for folder in (Path(place).expanduser() for place in places if place):
        for file in (folder, folder / TEST_FILE, folder / Path(TEST_FILE).name):
            if file.is_file():
                return _read(file, gallery)
    if path is not None:
        raise FileNotFoundError(f"{os.fspath(path)} has no {TEST_FILE}")
    return None


def fetch_test_images(gallery: Gallery) -> NDArray[np.uint8]:
    """Returns the same images from the Hugging Face Hub, and keeps the file in its cache; progress is shown by tqdm.

    Raises:
        OSError: If the file cannot be fetched.
        ValueError: If the gallery is not of CIFAR-10's test set.
    """
    if not is_of_cifar10(gallery):
        raise ValueError("the gallery is not of CIFAR-10's test set, so its images are not those of the Hub")
    try:
        file = huggingface_hub.hf_hub_download(DATASET, TEST_FILE, repo_type="dataset")
    except Exception as error:  # huggingface_hub's own are many, and so are those of its HTTP client
        raise OSError(f"fetching {TEST_FILE} of {DATASET} failed: {error}") from error
    return _read(Path(file), gallery)


def is_of_cifar10(gallery: Gallery) -> bool:
    """Returns whether a gallery is of CIFAR-10's test set."""
    return gallery.split == "test" and gallery.class_names == CIFAR10.classes


def _read(path: Path, gallery: Gallery) -> NDArray[np.uint8]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["img", "label"])
        labels = table["label"].to_numpy()
        if not np.array_equal(labels, gallery.labels):
            raise ValueError(f"{path} has other labels than the gallery: it is not CIFAR-10's test set")
        files = table["img"].combine_chunks().field("bytes").take(pa.array(gallery.tiles)).to_pylist()
        pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    except (pa.ArrowException, KeyError, UnidentifiedImageError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as CIFAR-10's test images: {error}") from error
    images = np.stack(pixels)
    if images.shape[1:] != (32, 32, 3):
        raise ValueError(f"{path} has images of {images.shape[1]}x{images.shape[2]} pixels, not 32x32")
    return images
