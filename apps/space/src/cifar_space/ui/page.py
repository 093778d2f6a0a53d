"""The page: its three tabs."""

from collections.abc import Sequence

import gradio as gr

from cifar_space.artifacts.examples import Example
from cifar_space.service.service import Service
from cifar_space.ui.classify_tab import classify_tab
from cifar_space.ui.misclassified_tab import misclassified_tab
from cifar_space.ui.model_tab import model_tab
from cifar_space.views.prediction_cards import header, page_title

#: Most requests that wait for the model; the next one is told that the queue is full.
QUEUE_SIZE = 64

#: Seconds: how often uploads are looked through, and how old they may get.
_UPLOADS_KEPT = (600, 3600)


def build_page(service: Service, examples: Sequence[Example]) -> gr.Blocks:
    """Return the page of a service, not launched yet; `cifar_space.ui.server.start` launches it.

    Its endpoints for programs are `/classify`, `/misclassified` and `/model`.

    Args:
        service: What answers.
        examples: The pictures that visitors can try.
    """
    with gr.Blocks(
        title=page_title(service.classes), analytics_enabled=False, delete_cache=_UPLOADS_KEPT
    ) as page:
        gr.HTML(header(service.weights), elem_id="header", elem_classes="paper")
        with gr.Tabs():
            with gr.Tab("Classify", id="classify"):
                classify_tab(service, examples)
            with gr.Tab("Misclassified", id="misclassified"):
                misclassified_tab(service)
            with gr.Tab("Model", id="model"):
                model_tab(service)
    page.queue(max_size=QUEUE_SIZE)
    return page
