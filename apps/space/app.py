"""Starts `cifar-space` on Hugging Face Spaces, at the host and port of Gradio's variables."""

import os
import sys

from cifar_space.cli import main

os.environ.setdefault("GRADIO_SERVER_NAME", "0.0.0.0")  # noqa: S104 - the Space's own container
raise SystemExit(main(sys.argv[1:]))
