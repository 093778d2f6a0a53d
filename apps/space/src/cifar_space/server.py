"""The former home of :func:`~cifar_space.ui.server.start`, which serves the page from Python."""

from cifar_space.ui.server import start

__all__ = ["start"]
