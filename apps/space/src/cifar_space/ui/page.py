"""The page: its three tabs."""

from collections.abc import Sequence

import gradio as gr

from cifar_space.artifacts.files import Example
from cifar_space.service.service import Service
from cifar_space.ui.classify_tab import classify_tab
from cifar_space.ui.controls import endpoint
from cifar_space.ui.misclassified_tab import misclassified_tab
from cifar_space.views.render import header, model_page, page_title

#: Most requests that wait for the model; the next one is told that the queue is full.
QUEUE_SIZE = 64

#: Seconds: interval in which uploads are deleted, and their greatest age.
_UPLOADS_KEPT = (600, 3600)


def build_page(service: Service, examples: Sequence[Example]) -> gr.Blocks:
    """Returns the page of a service, not launched yet; `cifar_space.ui.server.start` launches it.

    Its endpoints for programs are `/classify`, `/misclassified` and `/model`.

    Args:
        service: The model.
        examples: Images that visitors can try.
    """
    with gr.Blocks(
        title=page_title(service.classes), analytics_enabled=False, delete_cache=_UPLOADS_KEPT
    ) as page:
        gr.HTML(header(service.facts), elem_id="header", elem_classes="paper")
        with gr.Tabs():
            with gr.Tab("Classify", id="classify"):
                classify_tab(service, examples)
            with gr.Tab("Misclassified", id="misclassified"):
                misclassified_tab(service, page)
            with gr.Tab("Model", id="model"):
                gr.HTML(model_page(service.facts, service.report), elem_id="model", elem_classes="paper")
                endpoint(
                    "model", service.facts.to_dict, {}, description="Return the model's facts.", queue=False
                )
    page.queue(max_size=QUEUE_SIZE)
    return page
