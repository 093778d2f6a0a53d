"""Launching the page."""

import errno
import shutil
import socket
import tempfile
import weakref
from pathlib import Path

import gradio as gr

from cifar_models import CIFAR10
from cifar_space.artifacts.examples import Example, built_in_examples, write_examples
from cifar_space.service.service import Service
from cifar_space.ui.page import build_page
from cifar_space.ui.styles import CSS
from cifar_space.ui.theme import make_theme


def start(service: Service, *, host: str, port: int | None) -> gr.Blocks:
    """Return the page of a service, served in the background until its `close()`.

    Its `local_url` is where it is. No other host is contacted, by the server or by the page.

    Args:
        service: What answers.
        host: Address to listen at: "127.0.0.1" for this machine only, "0.0.0.0" for all.
        port: Port to listen at; None for the first free one from 7860.

    Raises:
        OSError: If the port is taken, or the address is none of this machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="cifar-space-"))
    examples = _examples(service, folder)
    page = build_page(service, examples)
    weakref.finalize(page, shutil.rmtree, folder, ignore_errors=True)
    figures = service.report.paths if service.report else ()
    try:
        page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            # An exception's own words instead of nothing: so a program learns why its file was refused.
            show_error=True,
            footer_links=["api"],
            max_file_size=service.limits.file_bytes,
            allowed_paths=[str(path) for path in (*(example.path for example in examples), *figures)],
            theme=make_theme(),
            css=CSS,
        )
    except OSError as error:
        if port is None:
            raise
        raise OSError(_why_not(host, port)) from error
    return page


def _why_not(host: str, port: int) -> str:
    """Return why nothing can listen there; Gradio tells the same of every reason."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return f"cannot listen at {host}, port {port}: {error.strerror}"
    # Also where another program has the port at another address, which Gradio tries too.
    return f"port {port} is in use; choose another with --port"


def _examples(service: Service, folder: Path) -> tuple[Example, ...]:
    """Return the gallery's examples; without any, the built-in ones for a model that knows what they show."""
    known = service.misclassified
    written = write_examples(known.gallery, folder) if known and known.has_images else ()
    return written or (built_in_examples() if service.classes == CIFAR10.classes else ())
