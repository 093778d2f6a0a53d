"""The former home of :class:`~cifar_train.Muon`, which configurations and weights files of earlier runs name."""

from cifar_train.training.muon import Muon, orthogonalize

__all__ = ["Muon", "orthogonalize"]
