"""The endpoint `/misclassified`."""

from typing import Any

import gradio as gr

from cifar_space.service.misclassified_page import MisclassifiedOptions
from cifar_space.service.requests import RequestError
from cifar_space.service.serialize import describe_misclassified
from cifar_space.service.service import Service
from cifar_space.ui.controls import MODEL
from cifar_space.ui.misclassified_controls import MisclassifiedControls


def misclassified_api(service: Service, controls: MisclassifiedControls, page: gr.Number) -> None:
    """Offer the endpoint; what a program leaves out has the page's default. To be called within `gr.Blocks`."""
    answers = gr.JSON(visible=False, label="answers")

    def misclassified(
        count: int,
        page: int,
        order: str,
        seed: int,
        true: str,
        predicted: str,
        explain: bool,
        layer: str,
        method: str,
        opacity: float,
    ) -> dict[str, Any]:
        options = MisclassifiedOptions(count, page, order, seed, true, predicted, explain, layer, method)
        try:
            return describe_misclassified(service.misclassified_page(options), opacity=opacity)
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.on(
        [],
        misclassified,
        inputs=[*controls.of_options(page), controls.opacity],
        outputs=answers,
        api_name="misclassified",
        api_description="List misclassified test images, page by page, with their numbers and, if asked, maps.",
        show_progress="hidden",
        **MODEL,
    )
