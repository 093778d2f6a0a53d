"""Training, evaluation and the app preprocess images alike, though cifar_data and cifar_models share no code."""

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_data import CIFAR10DataModule, is_canonical, open_dataset
from cifar_models import CIFAR10, InputSpec


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "I;16"])
@pytest.mark.parametrize("size", [(32, 32), (57, 40), (31, 90)])
def test_class_folders_and_uploads_are_decoded_alike(tmp_path, mode, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA").convert(mode if mode != "I;16" else "RGB")
    if mode == "I;16":
        image = Image.frombytes(mode, size, pixels[..., :2].tobytes())
    path = f"image.{'tiff' if mode == 'CMYK' else 'png'}"
    for folder in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / "images" / folder).mkdir(parents=True)
        image.save(tmp_path / "images" / folder / path)
    dataset = open_dataset(tmp_path / "images", source="folder", cache_dir=tmp_path / "cache", progress=False)
    with Image.open(tmp_path / "images" / "test" / "a" / path) as uploaded:
        np.testing.assert_array_equal(dataset.test.images[0], np.asarray(CIFAR10.to_image(uploaded)))


def test_loaders_and_input_specification_normalize_alike():
    datamodule = CIFAR10DataModule(source="synthetic", eval_batch_size=64)
    datamodule.setup("test")
    spec = InputSpec(classes=datamodule.classes, mean=datamodule.mean, std=datamodule.std, size=32)
    images, labels = next(iter(datamodule.test_dataloader()))
    test = datamodule.dataset.test
    torch.testing.assert_close(images, spec.normalize(test.images[:64]), rtol=0, atol=1e-6)
    one = torch.stack([spec.preprocess(Image.fromarray(pixels)) for pixels in test.images[:64]])
    torch.testing.assert_close(images, one, rtol=0, atol=1e-6)
    assert labels.tolist() == test.labels[:64].tolist()


@pytest.mark.data
def test_input_specification_has_the_constants_of_cifar10(tmp_path):
    dataset = open_dataset(cache_dir=tmp_path, progress=False)
    assert is_canonical(dataset)
    assert dataset.classes == CIFAR10.classes
    assert dataset.mean == pytest.approx(CIFAR10.mean, abs=1e-9)
    assert dataset.std == pytest.approx(CIFAR10.std, abs=1e-9)
