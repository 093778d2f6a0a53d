"""The Gradio page and its server."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_proxies() -> Iterator[None]:
    """Lets HTTP clients connect directly: Gradio asks only its own address, and with some proxies fails to import."""
    former = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        if former is not None:
            os.environ["no_proxy"] = former


with without_proxies():
    import gradio  # noqa: F401
