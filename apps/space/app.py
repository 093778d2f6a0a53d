"""What Hugging Face Spaces runs: `cifar-space` for visitors from outside."""

from cifar_space.cli import main

raise SystemExit(main(["--host", "0.0.0.0"]))  # noqa: S104 - the Space's own container
