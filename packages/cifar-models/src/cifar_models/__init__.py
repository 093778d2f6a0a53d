"""CIFAR-10 classifiers, the one preprocessing they expect, and a weights file that describes itself."""

from cifar_models._header import WeightsHeader
from cifar_models.folding import NormPair, fold_batch_norms
from cifar_models.hub import from_pretrained, model_card, push_to_hub
from cifar_models.registry import create_model, list_models, register_model
from cifar_models.resnet import ResNet9, ResNet18
from cifar_models.spec import CIFAR10, InputSpec
from cifar_models.weights import Weights, load_weights, read_header, save_weights
from cifar_models.whitenet import WhiteNet

__all__ = [
    "CIFAR10",
    "InputSpec",
    "NormPair",
    "ResNet9",
    "ResNet18",
    "Weights",
    "WeightsHeader",
    "WhiteNet",
    "create_model",
    "fold_batch_norms",
    "from_pretrained",
    "list_models",
    "load_weights",
    "model_card",
    "push_to_hub",
    "read_header",
    "register_model",
    "save_weights",
]
