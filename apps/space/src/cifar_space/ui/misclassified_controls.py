"""The controls of the misclassified images, without what they do."""

from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from cifar_space.service.misclassified_page import ANY, MisclassifiedOptions
from cifar_space.service.service import Service
from cifar_space.ui.controls import METHOD_CHOICES, dark_maps


@dataclass(frozen=True)
class MisclassifiedControls:
    """The controls of which misclassified images are shown and how; all but `opacity` concern the server.

    Attributes:
        details: What encloses the controls that have no meaning without maps.
    """

    shown: gr.Checkbox
    count: gr.Slider
    order: gr.Radio
    seed: gr.Number
    true: gr.Dropdown
    predicted: gr.Dropdown
    explain: gr.Checkbox
    layer: gr.Dropdown
    method: gr.Dropdown
    opacity: gr.Slider
    details: gr.Column

    def of_options(self, page: gr.Number) -> list[Component]:
        """Return the controls, and that of the page, in the order of the fields of `MisclassifiedOptions`."""
        return [
            self.count, page, self.order, self.seed, self.true, self.predicted,
            self.explain, self.layer, self.method,
        ]  # fmt: skip


def misclassified_controls(service: Service, *, errors: int, images: bool) -> MisclassifiedControls:
    """Return the controls. To be called within `gr.Blocks`.

    Args:
        service: Whose layers and classes there are to choose from.
        errors: How many errors there are.
        images: Whether their images are there; without them there are no maps either.
    """
    default = MisclassifiedOptions()
    classes = [("any class", ANY), *((name, name) for name in service.classes)]
    # A slider needs two values, even where there is one error or none.
    most = max(errors, 2)
    with gr.Group():
        shown = gr.Checkbox(True, label="Show misclassified images")
        count = gr.Slider(1, most, value=max(1, min(default.count, errors)), step=1, label="How many")
        order = gr.Radio(
            [("surest errors first", "confidence"), ("greatest loss first", "loss"), ("at random", "chance")],
            value=default.order,
            label="Order",
        )
        seed = gr.Number(
            default.seed, precision=0, minimum=0, label="Seed of the random order", visible=False
        )
        with gr.Row():
            true = gr.Dropdown(classes, value=default.true, label="True class", min_width=120)
            predicted = gr.Dropdown(classes, value=default.predicted, label="Taken for", min_width=120)
        explain = gr.Checkbox(default.explain, label="Show where the model looks", visible=images)
        with gr.Column(visible=False) as details:
            layer = gr.Dropdown(list(service.layers), value=service.layers[-1], label="Layer")
            method = gr.Dropdown(METHOD_CHOICES, value=default.method, label="Method")
            opacity = gr.Slider(0, 1, value=0.5, step=0.05, label="Opacity of the maps")
            dark_maps(service)
    return MisclassifiedControls(
        shown, count, order, seed, true, predicted, explain, layer, method, opacity, details
    )


def page_control(*, pages: int = 1) -> gr.Number:
    """Return the control of the page, where there are so many. To be called within `gr.Blocks`."""
    first = MisclassifiedOptions().page
    return gr.Number(first, precision=0, minimum=1, label=page_label(first, pages))


def page_label(page: int, pages: int) -> str:
    """Return the label of the page's control.

    >>> page_label(2, 9)
    'Page 2 of 9'
    """
    return f"Page {page} of {pages}"
