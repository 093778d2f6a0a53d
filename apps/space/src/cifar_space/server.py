"""Launching the page."""

import gradio as gr

from cifar_space.examples import EXAMPLES
from cifar_space.service import Service
from cifar_space.theme import CSS, make_theme
from cifar_space.ui import build_page


def start(service: Service, *, host: str, port: int | None) -> gr.Blocks:
    """Return the page of a service, served in the background until its `close()`.

    Its `local_url` is where it is. No other host is contacted, by the server or by the page.

    Args:
        service: What answers.
        host: Address to listen at: "127.0.0.1" for this machine only, "0.0.0.0" for all.
        port: Port to listen at; None for the first free one from 7860.

    Raises:
        OSError: If the port is taken.
    """
    page = build_page(service)
    page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=["api"],
        max_file_size=service.limits.file_bytes,
        allowed_paths=[str(EXAMPLES)],
        theme=make_theme(),
        css=CSS,
    )
    return page
