"""One preprocessing: what training, evaluation and the app feed to a model is the same to the bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_data import CIFAR10DataModule, Split, is_canonical, make_synthetic, open_dataset
from cifar_models import CIFAR10, InputSpec


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "I;16"])
@pytest.mark.parametrize("size", [(32, 32), (57, 40), (31, 90)])
def test_class_folders_and_uploads_are_decoded_alike(tmp_path, mode, size):
    random = np.random.default_rng(0)
    classes = [f"class{i}" for i in range(10)]
    suffix = "tiff" if mode == "CMYK" else "png"
    for part in ("train", "test"):
        for name in classes:
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            if mode == "I;16":
                image = Image.fromarray(random.integers(0, 65536, size[::-1], dtype=np.uint16))
            else:
                image = Image.fromarray(
                    random.integers(0, 256, (*size[::-1], 4), dtype=np.uint8), "RGBA"
                ).convert(mode)
            image.save(folder / f"picture.{suffix}")
    dataset = open_dataset(tmp_path / "images", source="folder", cache_dir=tmp_path / "cache", progress=False)
    for index, name in enumerate(classes):
        with Image.open(tmp_path / "images/test" / name / f"picture.{suffix}") as image:
            np.testing.assert_array_equal(dataset.test.images[index], np.asarray(CIFAR10.to_image(image)))


def test_loaders_and_input_specification_normalise_alike():
    datamodule = CIFAR10DataModule(source="synthetic", eval_batch_size=64)
    datamodule.setup("test")
    spec = InputSpec(classes=datamodule.classes, mean=datamodule.mean, std=datamodule.std, size=32)
    images, labels = next(iter(datamodule.test_dataloader()))
    test = datamodule.dataset.test
    torch.testing.assert_close(images, spec.normalize(test.images[:64]), rtol=0, atol=1e-6)
    one = torch.stack([spec.preprocess(Image.fromarray(pixels)) for pixels in test.images[:64]])
    torch.testing.assert_close(images, one, rtol=0, atol=1e-6)
    assert labels.tolist() == test.labels[:64].tolist()


def test_a_split_is_its_images_and_labels():
    dataset = make_synthetic(100, 50)
    assert isinstance(dataset.train, Split)
    assert len(dataset.train) == 100


@pytest.mark.data
def test_the_constants_of_the_specification_are_those_of_the_real_images(tmp_path):
    dataset = open_dataset(cache_dir=tmp_path, progress=False)
    assert is_canonical(dataset)
    assert dataset.classes == CIFAR10.classes
    assert dataset.mean == pytest.approx(CIFAR10.mean, abs=1e-9)
    assert dataset.std == pytest.approx(CIFAR10.std, abs=1e-9)
