"""Class activation maps and misclassified images for any convolutional torch module."""

from cifar_explain.cam import explain
from cifar_explain.layers import find_layers
from cifar_explain.methods import METHODS
from cifar_explain.overlay import enlarge_map, enlarge_photo, heat_colours, overlay
from cifar_explain.targets import Versus

__all__ = [
    "METHODS",
    "Versus",
    "enlarge_map",
    "enlarge_photo",
    "explain",
    "find_layers",
    "heat_colours",
    "overlay",
]
