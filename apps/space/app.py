"""Starts `cifar-space` for visitors from outside, on Hugging Face Spaces."""

import sys

from cifar_space.cli import main

raise SystemExit(main(["--host", "0.0.0.0", *sys.argv[1:]]))  # noqa: S104 - the Space's own container
