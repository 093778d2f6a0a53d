"""The command `cifar-train`."""

from cifar_train.cli.command import main

__all__ = ["main"]
