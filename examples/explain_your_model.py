"""Explain a model of your own with cifar_explain alone: maps of several layers, overlays, misclassified images.

    uv run python examples/explain_your_model.py explained

It draws a small data set, trains a small network for a few seconds and writes into the folder `explained`:

    maps.png            one test image of each class, and where three layers see evidence for it
    misclassified.png   errors on the test images with maps for the predicted and for the true class
    confusion.png       what is mistaken for what
    gallery/            all test predictions (gallery.npz) and the images that are wrong (gallery.png)

Needed of a model: that it is a `torch.nn.Module` from images `(N, C, H, W)` to logits `(N, K)`, and that the layers to
explain have spatial outputs. To explain yours, replace `SmallNet` and `draw_shapes`.
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
    enlarge_photo,
    explain,
    find_errors,
    make_gallery,
    overlay,
    plot_confusion,
    plot_errors,
    predict_probabilities,
    write_gallery,
)

CLASSES = ("disc", "ring", "cross")
LAYERS = ("body.1", "body.4", "body.7")  # names of submodules, as in `model.named_modules()`
SIDE = 48  # of an image, in pixels
SCALE = 4  # how many times larger the maps' picture shows it
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
        """Logits `(N, 3)` of images `(N, 3, H, W)`."""
        return self.head(self.body(images))


def draw_shapes(count: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return photos `(count, SIDE, SIDE, 3)` of one shape each, anywhere on noise, and their labels `(count,)`."""
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
    photos = 128 + masks[..., None] * colours + generator.normal(0, 15, (count, SIDE, SIDE, 3))
    return photos.clip(0, 255).astype(np.uint8), labels


def preprocess(photos: NDArray[np.uint8]) -> Tensor:
    """Return photos `(N, H, W, 3)` as the network takes them: float32 `(N, 3, H, W)` in [-1, 1]."""
    return torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(model: nn.Module, photos: NDArray[np.uint8], labels: NDArray[np.int64], *, epochs: int) -> None:
    """Train `model` in place, 50 images at a time."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    images, targets = preprocess(photos), torch.from_numpy(labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), targets[batch]).backward()
            optimizer.step()


def draw_maps(model: nn.Module, photos: NDArray[np.uint8]) -> Image.Image:
    """Return a picture with a row for each photo: itself, and the map of each layer over it."""
    maps = explain(model, preprocess(photos), layers=LAYERS, method="gradcam")  # (N, layers, H, W)
    rows = [
        np.hstack([enlarge_photo(photo, SCALE), *(overlay(photo, heat, scale=SCALE) for heat in heats)])
        for photo, heats in zip(photos, maps, strict=True)
    ]
    return Image.fromarray(np.vstack(rows))


def main(folder: Path) -> None:
    """Train, explain, and write everything into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = SmallNet()
    train(model, *draw_shapes(2000, seed=0), epochs=3)
    weights = folder / "model.pt"
    torch.save(model.state_dict(), weights)

    photos, labels = draw_shapes(500, seed=1)
    probabilities = predict_probabilities(model, photos, preprocess=preprocess)
    predicted = probabilities.argmax(axis=1)
    plot_confusion(confusion_matrix(labels, predicted, classes=len(CLASSES)), class_names=CLASSES).savefig(
        folder / "confusion.png"
    )

    one_of_each = [int(np.flatnonzero(labels == label)[0]) for label in range(len(CLASSES))]
    draw_maps(model, photos[one_of_each]).save(folder / "maps.png")

    errors = find_errors(probabilities, labels, class_names=CLASSES)
    print(f"{len(errors)} of {len(labels)} test images are misclassified")
    surest = errors.ranked("confidence").take(slice(SHOWN_ERRORS))
    if len(surest):
        wrong = photos[surest.indices]
        maps = [
            explain(model, preprocess(wrong), layers=LAYERS, target=target)
            for target in (surest.predictions, surest.labels)
        ]
        plot_errors(surest, wrong, maps=maps[0], true_maps=maps[1], layers=LAYERS).savefig(
            folder / "misclassified.png"
        )
    gallery = make_gallery(
        probabilities,
        labels,
        photos,
        class_names=CLASSES,
        # Ties the predictions to the weights that made them.
        weights_sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
    )
    write_gallery(gallery, folder / "gallery")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Explain a small network and write the pictures into a folder."
    )
    parser.add_argument("folder", type=Path, help="where the pictures go")
    main(parser.parse_args().folder)
