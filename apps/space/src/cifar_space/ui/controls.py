"""The controls of the first tab, without what they do; and what the tabs' controls share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from cifar_explain import METHODS
from cifar_models import CIFAR10
from cifar_space.artifacts.examples import Example
from cifar_space.service.requests import PREDICTED, Options, largest_top
from cifar_space.service.service import Service
from cifar_space.views.fragments import about_dark_maps

#: Gradio's limits are per function unless they share a name. One request at a time: torch uses all cores for it.
MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}

_TITLES = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
    "eigencam": "EigenCAM (for no particular class)",
}

#: The methods of maps, titles and names.
METHOD_CHOICES = [(_TITLES.get(name, name), name) for name in METHODS]


@dataclass(frozen=True)
class Controls:
    """The controls of what is to be told about each picture; all but `opacity` concern the model.

    Attributes:
        details: What encloses the controls that have no meaning without maps.
    """

    top: gr.Slider
    explain: gr.Checkbox
    layers: gr.CheckboxGroup
    method: gr.Dropdown
    target: gr.Dropdown
    explained: gr.Slider
    opacity: gr.Slider
    details: gr.Column

    def of_model(self) -> list[Component]:
        """Return the controls in the order of the fields of `Options`."""
        return [self.top, self.explain, self.layers, self.method, self.target, self.explained]


def picture_controls(service: Service, examples: Sequence[Example]) -> tuple[gr.Gallery, gr.Gallery]:
    """Return the place for the visitor's pictures, and that of the examples. To be called within `gr.Blocks`."""
    limits = service.limits
    pictures = gr.Gallery(
        label=f"Your pictures, up to {limits.pictures}",
        elem_id="pictures",
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        # Not a list of endings: Gradio compares these with the kinds of what is in the clipboard.
        file_types=["image"],
        interactive=True,
        columns=5,
        height=180,
        object_fit="contain",
        buttons=[],
    )
    refuse_addresses(pictures)
    offered = gr.Gallery(
        [(str(example.path), example.title) for example in examples],
        label="Examples: test images of CIFAR-10"
        if service.classes == CIFAR10.classes
        else "Examples: test images",
        elem_id="examples",
        visible=bool(examples),
        interactive=False,
        allow_preview=False,
        columns=5,
        height="auto",
        object_fit="contain",
        buttons=[],
    )
    return pictures, offered


def option_controls(service: Service) -> Controls:
    """Return the controls of the answers. To be called within `gr.Blocks`."""
    default = Options()
    with gr.Group(elem_id="options"):
        most = largest_top(service.classes)
        top = gr.Slider(1, most, value=min(default.top, most), step=1, label="Top classes")
        explain = gr.Checkbox(default.explain, label="Show where the model looks")
        with gr.Column(elem_id="details") as details:
            layers = gr.CheckboxGroup(
                list(service.layers), value=list(service.layers), label="Layers", elem_id="layers"
            )
            method = gr.Dropdown(METHOD_CHOICES, value=default.method, label="Method")
            target = gr.Dropdown(
                [("the predicted class", PREDICTED), *((name, name) for name in service.classes)],
                value=default.target,
                label="Evidence for",
            )
            explained = gr.Slider(
                1,
                service.limits.pictures,
                value=default.explained,
                step=1,
                label="Pictures to explain",
            )
            opacity = gr.Slider(0, 1, value=0.5, step=0.05, label="Opacity of the maps")
            dark_maps(service)
    return Controls(top, explain, layers, method, target, explained, opacity, details)


def dark_maps(service: Service) -> gr.HTML:
    """Return the note on maps without evidence. To be called within `gr.Blocks`, near the maps' controls."""
    judged = service.report is not None and "faithfulness" in service.report.figures
    return gr.HTML(about_dark_maps(judged=judged), elem_classes=["paper", "note"])


def refuse_addresses(component: Component) -> None:
    """Let a component take uploaded files only.

    Gradio would fetch a file that is given as a web address: any host, any size, at any visitor's wish.
    A subclass would be the usual way, but Gradio writes a file beside the source of each one.
    """
    move = component.async_move_resource_to_block_cache

    async def move_uploaded(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("Files must be uploaded; web addresses are not fetched.", print_exception=False)
        return await move(url_or_file_path)

    component.async_move_resource_to_block_cache = move_uploaded  # type: ignore[method-assign]


def keep_whole(*numbers: gr.Slider | gr.Number) -> None:
    """Let boxes show the whole number that answers any other, as `clamped` rounds it: 3 for 2.5.

    To be called within `gr.Blocks`. An empty box stays empty, for whoever is about to type.
    """
    for number in numbers:
        number.change(
            None,
            inputs=number,
            outputs=number,
            js="value => value === null ? null : Math.round(value)",
            api_visibility="private",
        )


def clamped(bounds: Mapping[int, tuple[int, int, int]]) -> str:
    """Return JavaScript that makes an event's inputs whole numbers within their bounds, before they are sent.

    A number that is typed into a slider's box is sent at once, and corrected by Gradio only when the box is
    left; the server would refuse the one and never hear of the other.

    Args:
        bounds: Least and greatest value, and the one that an empty box stands for, by the input's position.

    >>> clamped({1: (1, 10, 3)})
    '(...values) => { for (const [place, low, high, usual] of [[1, 1, 10, 3]]) values[place] = ...
    """
    rows = [[place, *numbers] for place, numbers in bounds.items()]
    return (
        f"(...values) => {{ for (const [place, low, high, usual] of {json.dumps(rows)}) "
        "values[place] = Math.min(high, Math.max(low, Math.round(values[place] ?? usual))); return values; }"
    )
