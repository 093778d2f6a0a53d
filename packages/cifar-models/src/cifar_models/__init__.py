"""CIFAR-10 classifiers, their preprocessing, self-describing weights files, and model cards."""

from cifar_models.architectures.fuse import NormPair, fold_batch_norms, fuse_conv_bn
from cifar_models.architectures.registry import create_model, list_models, register_model
from cifar_models.architectures.resnet import ResNet9, ResNet18
from cifar_models.architectures.whitenet import WhiteNet
from cifar_models.preprocessing import CIFAR10, InputSpec
from cifar_models.weights.card import model_card
from cifar_models.weights.header import WeightsHeader
from cifar_models.weights.hub import from_pretrained, push_to_hub
from cifar_models.weights.io import Weights, load_weights, read_header, save_weights

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
    "fuse_conv_bn",
    "list_models",
    "load_weights",
    "model_card",
    "push_to_hub",
    "read_header",
    "register_model",
    "save_weights",
]
