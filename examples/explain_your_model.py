"""Explains your own network with cifar_explain alone: class activation maps, misclassified images, a gallery.

    uv run python examples/explain_your_model.py explained

generates a small data set, trains a small network for a few seconds and writes into the folder `explained`:

    maps.png            a test image of each class with the maps of three layers
    misclassified.png   misclassified test images with maps for the predicted and the true class
    confusion.png       the confusion matrix
    gallery/            all test predictions and the misclassified images

Any `torch.nn.Module` from images `(N, C, H, W)` to logits `(N, K)` will do; the layers to explain need spatial outputs.
For your own, replace `SmallNet` and `draw_shapes`.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cifar_explain import (
    confusion_matrix,
    explain,
    find_errors,
    make_gallery,
    overlay,
    plot_confusion,
    plot_errors,
    predict_probabilities,
    upsample_image,
    write_gallery,
)

CLASSES = ("disc", "ring", "cross")
LAYERS = ("body.1", "body.4", "body.7")  # names of submodules, as in `model.named_modules()`
SIDE = 48  # of an image, in pixels
SCALE = 4  # of maps.png
SHOWN_ERRORS = 10


class SmallNet(nn.Module):
    """Three convolutions, pooled to one vector and classified."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(64, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits `(N, 3)` of images `(N, 3, H, W)`."""
        return self.head(self.body(images))


def draw_shapes(count: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns images `(count, SIDE, SIDE, 3)`, each of one shape somewhere on noise, and their labels `(count,)`."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(CLASSES), count)
    radii = generator.uniform(5, 9, (count, 1, 1))
    centres = generator.uniform(10, SIDE - 10, (2, count, 1, 1))
    y, x = np.mgrid[:SIDE, :SIDE][:, None] - centres
    distance = np.hypot(x, y)
    shapes = np.stack(
        [
            distance < radii,
            (distance < radii) & (distance > 0.5 * radii),
            (np.minimum(abs(x), abs(y)) < 0.3 * radii) & (np.maximum(abs(x), abs(y)) < radii),
        ]
    )
    masks = shapes[labels, np.arange(count)]  # (count, SIDE, SIDE)
    colours = generator.uniform(-90, 90, (count, 1, 1, 3))
    images = 128 + masks[..., None] * colours + generator.normal(0, 15, (count, SIDE, SIDE, 3))
    return images.clip(0, 255).astype(np.uint8), labels


def preprocess(images: NDArray[np.uint8]) -> Tensor:
    """Returns the network's input for images `(N, H, W, 3)`: float32 `(N, 3, H, W)` in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(model: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.int64], *, epochs: int) -> None:
    """Trains `model` in place, in batches of 50 images."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    inputs, targets = preprocess(images), torch.from_numpy(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()


def draw_maps(model: nn.Module, images: NDArray[np.uint8]) -> Image.Image:
    """Returns one figure with a row for each image: the image, and each layer's map over it."""
    maps = explain(model, preprocess(images), layers=LAYERS, method="gradcam")  # (N, layers, H, W)
    rows = [
        np.hstack([upsample_image(image, SCALE), *(overlay(image, heat, scale=SCALE) for heat in heats)])
        for image, heats in zip(images, maps, strict=True)
    ]
    return Image.fromarray(np.vstack(rows))


def main(folder: Path) -> None:
    """Trains, explains and writes everything into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = SmallNet()
    train(model, *draw_shapes(2000, seed=0), epochs=3)
    weights = folder / "model.pt"
    torch.save(model.state_dict(), weights)

    images, labels = draw_shapes(500, seed=1)
    probabilities = predict_probabilities(model, images, preprocess=preprocess)
    predicted = probabilities.argmax(axis=1)
    plot_confusion(confusion_matrix(labels, predicted, classes=len(CLASSES)), class_names=CLASSES).savefig(
        folder / "confusion.png"
    )

    one_of_each = [int(np.flatnonzero(labels == label)[0]) for label in range(len(CLASSES))]
    draw_maps(model, images[one_of_each]).save(folder / "maps.png")

    errors = find_errors(probabilities, labels, class_names=CLASSES)
    print(f"{len(errors)} of {len(labels)} test images are misclassified")
    most_confident = errors.ranked("confidence").take(slice(SHOWN_ERRORS))
    if len(most_confident):
        wrong = images[most_confident.indices]
        maps = [
            explain(model, preprocess(wrong), layers=LAYERS, target=target)
            for target in (most_confident.predictions, most_confident.labels)
        ]
        plot_errors(most_confident, wrong, maps=maps[0], true_maps=maps[1], layers=LAYERS).savefig(
            folder / "misclassified.png"
        )
    gallery = make_gallery(
        probabilities,
        labels,
        images,
        class_names=CLASSES,
        # Ties the predictions to these weights.
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )
    write_gallery(gallery, folder / "gallery")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Explain a small network and write the figures into a folder."
    )
    parser.add_argument("folder", type=Path, help="gets the figures")
    main(parser.parse_args().folder)
