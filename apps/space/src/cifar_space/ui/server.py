"""The page of three tabs, its theme and its server."""

import errno
import shutil
import socket
import tempfile
import weakref
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.queueing import Queue

from cifar_models import CIFAR10
from cifar_space.artifacts.files import Example, built_in_examples, write_examples
from cifar_space.service.service import Service
from cifar_space.ui import without_proxies
from cifar_space.ui.classify_tab import classify_tab
from cifar_space.ui.controls import endpoint
from cifar_space.ui.misclassified_tab import misclassified_tab
from cifar_space.views.render import STYLE_SHEET, header, model_page, page_title, script

#: Most requests that wait for the model: of one visitor, of one address, behind which a school may be, and of all.
WAITING = {"session": 4, "address": 64, "all": 128}

#: Seconds: interval in which uploads are deleted, and their greatest age.
_UPLOADS_KEPT = (600, 3600)

_SYSTEM_FONTS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_SYSTEM_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def start(service: Service, *, host: str, port: int | None) -> gr.Blocks:
    """Returns the page of a service, served in the background until its `close()`; `local_url` is its address.

    It listens at `host`, all interfaces with "0.0.0.0" or "::", and at `port` or the first free one from 7860. Neither
    server nor page contact another host.

    Raises:
        OSError: If the port is taken, this machine has no such address, or Gradio cannot write its files.
    """
    folder = Path(tempfile.mkdtemp(prefix="cifar-space-"))
    examples = _examples(service, folder)
    figures = service.report.paths if service.report else ()
    host = host.strip("[]")
    try:
        page = build_page(service, examples)
        weakref.finalize(page, shutil.rmtree, folder, ignore_errors=True)
        with without_proxies():
            page.launch(
                server_name=f"[{host}]" if ":" in host else host,
                server_port=port,
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                ssr_mode=False,
                run_history=False,
                enable_monitoring=False,
                # An exception's own words instead of nothing: so a program learns why its file was rejected.
                show_error=True,
                footer_links=["api"],
                max_file_size=service.limits.file_bytes,
                allowed_paths=[str(path) for path in (*(example.path for example in examples), *figures)],
                theme=make_theme(),
                css_paths=STYLE_SHEET,
            )
    except Exception as error:  # Gradio's own are many, and so are those of its HTTP client
        raise OSError(_why_not(host, port, error)) from error
    return page


def build_page(service: Service, examples: Sequence[Example]) -> gr.Blocks:
    """Returns the page of a service, not launched yet; `start` launches it.

    Its endpoints for programs are `/classify`, `/misclassified` and `/model`.
    """
    with gr.Blocks(
        title=page_title(service.classes), analytics_enabled=False, delete_cache=_UPLOADS_KEPT
    ) as page:
        gr.HTML(header(service.facts), elem_id="header", elem_classes="paper", js_on_load=script("viewer"))
        with gr.Tabs():
            with gr.Tab("Classify", id="classify"):
                classify_tab(service, examples)
            with gr.Tab("Misclassified", id="misclassified"):
                misclassified_tab(service, page)
            with gr.Tab("Model", id="model"):
                gr.HTML(model_page(service.facts, service.report), elem_id="model", elem_classes="paper")
                facts = lambda: [service.facts.to_dict()]  # noqa: E731
                endpoint("model", facts, {}, description="Return the model's facts.")
    page.queue(max_size=WAITING["all"])
    _share_queue(page._queue)
    return page


def _share_queue(queue: Queue) -> None:
    """Lets addresses take turns in Gradio's queue, which serves the first to come, and limits the part of each."""
    push = queue.push

    def address(request: Any) -> str:
        # A proxy, such as that of Hugging Face, names the visitor.
        own = request.client and request.client.host
        return str(request.headers.get("x-forwarded-for") or own).partition(",")[0]

    async def push_fairly(body: Any, request: Any, username: str | None) -> Any:
        lines = [events.queue for events in queue.event_queue_per_concurrency_id.values()]
        waiting = [event for line in lines for event in line]
        for name, count in (
            ("session", sum(event.session_hash == body.session_hash for event in waiting)),
            ("address", sum(address(event.request) == address(request) for event in waiting)),
        ):
            if count >= WAITING[name]:
                words = f"{count} requests of your {name} are waiting; wait for their answers"
                return False, words, "queue_full"
        pushed = await push(body, request, username)
        for line in lines:
            seen: Counter[str] = Counter()

            def turn(event: Any, seen: Counter[str] = seen) -> int:
                seen[address(event.request)] += 1
                return seen[address(event.request)]

            line.sort(key=turn)
        return pushed

    queue.push = push_fairly  # type: ignore[method-assign]


def make_theme() -> gr.themes.Base:
    """Returns the theme for light and dark: neutral surfaces, one accent colour, thin borders, no shadows."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=_SYSTEM_FONTS,
        font_mono=_SYSTEM_MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_500",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_label_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_weight="500",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
    )


def _why_not(host: str, port: int | None, error: Exception) -> str:
    """Returns why the page cannot be served; Gradio has one message for all that is wrong with an address."""
    if isinstance(error, OSError) and error.filename:
        return f"{error}; GRADIO_TEMP_DIR names the folder for Gradio's files"
    if port is None or not isinstance(error, OSError):
        return f"cannot serve at {host}: {error}"
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as refused:
        if refused.errno != errno.EADDRINUSE:
            return f"cannot listen at {host}, port {port}: {refused.strerror}"
    # Also where another program has the port at another address, which Gradio tries too.
    return f"port {port} is in use; choose another with --port"


def _examples(service: Service, folder: Path) -> tuple[Example, ...]:
    """Returns the gallery's examples; without any, the built-in ones for a model of their classes."""
    known = service.misclassified
    written = write_examples(known.gallery, folder) if known and known.has_images else ()
    return written or (built_in_examples() if service.classes == CIFAR10.classes else ())
