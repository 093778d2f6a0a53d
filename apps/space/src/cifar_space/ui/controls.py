"""The controls of the tabs, and what their events and endpoints share."""

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from cifar_explain import METHODS
from cifar_models import CIFAR10
from cifar_space.artifacts.files import Example
from cifar_space.service.requests import (
    ANY,
    PREDICTED,
    Limits,
    MisclassifiedOptions,
    Options,
    RequestError,
    largest_top,
)

#: Gradio's limits are per function unless they share a name. One request at a time: torch uses all cores for it.
MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}

#: For events that do not concern the model.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

_TITLES = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAM++",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
    "eigencam": "EigenCAM (the same for every class)",
}
_METHOD_CHOICES = [(_TITLES.get(name, name), name) for name in METHODS]


@dataclasses.dataclass(frozen=True)
class Controls:
    """The controls of a tab.

    Attributes:
        of: The control of each option, by its name.
        opacity: Of the maps, in the browser.
        details: Column of the controls that have no meaning without maps.
    """

    of: Mapping[str, Component]
    opacity: gr.Slider
    details: gr.Column

    def inputs(self, options: type[Options] | type[MisclassifiedOptions]) -> dict[str, Component]:
        """Returns the controls in the order of the options' fields, so that `options(*values)` takes their values."""
        return {field.name: self.of[field.name] for field in dataclasses.fields(options)}


def picture_controls(
    classes: Sequence[str], limits: Limits, examples: Sequence[Example]
) -> tuple[gr.Gallery, gr.Gallery]:
    """Returns the galleries of the visitor's images and of the examples. Call it within `gr.Blocks`."""
    pictures = gr.Gallery(
        label=f"Your images, up to {limits.pictures}",
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
    reject_addresses(pictures)
    offered = gr.Gallery(
        [(str(example.path), example.title) for example in examples],
        label=f"Examples: test images{' of CIFAR-10' if tuple(classes) == CIFAR10.classes else ''}",
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


def classify_controls(
    classes: Sequence[str], layers: Sequence[str], limits: Limits, *, opacity: gr.Slider, note: str
) -> Controls:
    """Returns the controls of the answers, with a note on maps. Call it within `gr.Blocks`."""
    default, most = Options(), largest_top(classes)
    with gr.Group(elem_id="options"):
        top = gr.Slider(1, most, value=min(default.top, most), step=1, label="Top classes")
        explain = gr.Checkbox(default.explain, label="Show class activation maps")
        with gr.Column(elem_id="details") as details:
            chosen = gr.CheckboxGroup(list(layers), value=list(layers), label="Layers", elem_id="layers")
            method = _method_control()
            target = gr.Dropdown(
                [("the predicted class", PREDICTED), *((name, name) for name in classes)],
                value=default.target,
                label="Class to explain",
            )
            explained = gr.Slider(
                1, limits.pictures, value=default.explained, step=1, label="Number of images to explain"
            )
            gr.HTML(note, elem_classes=["paper", "note"])
    of = {"top": top, "explain": explain, "layers": chosen, "method": method, "target": target}
    return Controls({**of, "explained": explained}, opacity, details)


def misclassified_controls(
    classes: Sequence[str],
    layers: Sequence[str],
    *,
    errors: int,
    images: bool,
    page: gr.Number,
    opacity: gr.Slider,
    note: str,
) -> tuple[gr.Checkbox, Controls]:
    """Returns the switch of the misclassified images, and their controls. Call it within `gr.Blocks`.

    Args:
        classes: The model's classes.
        layers: The model's layers.
        errors: Number of errors.
        images: Whether their images are there; without them there are no maps either.
        page: The control of the page, which stands elsewhere.
        opacity: That of the maps, which stands beside them.
        note: HTML on maps.
    """
    default = MisclassifiedOptions()
    choices = [("any class", ANY), *((name, name) for name in classes)]
    with gr.Group():
        shown = gr.Checkbox(True, label="Show misclassified images")
        # A slider needs two values, even where there is one error or none.
        count = gr.Slider(
            1, max(errors, 2), value=max(1, min(default.count, errors)), step=1, label="Number of errors"
        )
        order = gr.Radio(
            [
                ("most confident first", "confidence"),
                ("greatest loss first", "loss"),
                ("random", "chance"),
            ],
            value=default.order,
            label="Order",
        )
        seed = gr.Number(
            default.seed, precision=0, minimum=0, label="Seed of the random order", visible=False
        )
        with gr.Row():
            true = gr.Dropdown(choices, value=default.true, label="True class", min_width=120)
            predicted = gr.Dropdown(choices, value=default.predicted, label="Predicted as", min_width=120)
        explain = gr.Checkbox(default.explain, label="Show class activation maps", visible=images)
        with gr.Column(visible=False) as details:
            layer = gr.Dropdown(list(layers), value=layers[-1], label="Layer")
            method = _method_control()
            gr.HTML(note, elem_classes=["paper", "note"])
    of = {"count": count, "page": page, "order": order, "seed": seed, "true": true, "predicted": predicted}
    return shown, Controls({**of, "explain": explain, "layer": layer, "method": method}, opacity, details)


def opacity_control(*, visible: bool = True) -> gr.Slider:
    """Returns the control of the maps' opacity, which stays in view beside them. Call it within `gr.Blocks`."""
    return gr.Slider(
        0, 1, value=0.5, step=0.05, label="Opacity of the maps", elem_classes="opacity", visible=visible
    )


def endpoint(
    name: str,
    answer: Callable[..., Any],
    inputs: Mapping[str, Component],
    *,
    description: str,
    **settings: Any,
) -> None:
    """Offers a function to programs. Call it within `gr.Blocks`.

    Args:
        name: The endpoint's name.
        answer: Called with the values of the inputs; a `RequestError` becomes the caller's error message.
        inputs: Components by the endpoint's parameters; a parameter left out has the component's value.
        description: For the page on the API.
        settings: More arguments of the event.
    """

    def call(*values: Any) -> Any:
        try:
            return answer(*values)
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error

    # Gradio names the parameters as the function does.
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD) for parameter in inputs]
    )
    gr.on(
        [],
        call,
        inputs=list(inputs.values()),
        outputs=gr.JSON(visible=False, label="answers"),
        api_name=name,
        api_description=description,
        show_progress="hidden",
        **settings,
    )


def reject_addresses(component: Component) -> None:
    """Lets a component take uploaded files only.

    Gradio would fetch a file that is given as a web address: any host, any size, at any visitor's wish.
    A subclass would be the usual way, but Gradio writes a file beside the source of each one.
    """
    move = component.async_move_resource_to_block_cache

    async def move_uploaded(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("Files must be uploaded; web addresses are not fetched.", print_exception=False)
        return await move(url_or_file_path)

    component.async_move_resource_to_block_cache = move_uploaded  # type: ignore[method-assign]


def show_while(box: Component, shown: Component | gr.Column) -> None:
    """Shows something while a box is checked. Call it within `gr.Blocks`."""
    box.change(lambda on: gr.update(visible=on), inputs=box, outputs=shown, **QUIET)  # type: ignore[attr-defined]


def keep_whole(*numbers: Component) -> None:
    """Lets boxes show the whole number that `clamped` makes of any other, such as 3 of 2.5.

    Call it within `gr.Blocks`. An empty box stays empty, since a number may be about to be typed.
    """
    for number in numbers:
        number.change(  # type: ignore[attr-defined]
            None,
            inputs=number,
            outputs=number,
            js="value => value === null ? null : Math.round(value)",
            api_visibility="private",
        )


def set_style(control: Component, variable: str) -> None:
    """Sets a style property of the page to the control's value, in the browser. Call it within `gr.Blocks`."""
    script = f"value => {{ document.documentElement.style.setProperty('{variable}', value); }}"
    control.change(None, inputs=control, js=script)  # type: ignore[attr-defined]


def clamped(bounds: Mapping[int, tuple[int, int, int]]) -> str:
    """Returns JavaScript that makes an event's inputs whole numbers within their bounds, before they are sent.

    A number that is typed into a slider's box is sent at once, and corrected by Gradio only when the box is
    left: the server would reject the first and never receive the second.

    Args:
        bounds: Least and greatest value, and the value of an empty box, by the input's position.

    >>> clamped({1: (1, 10, 3)})
    '(...values) => { for (const [place, low, high, usual] of [[1, 1, 10, 3]]) values[place] = ...
    """
    rows = [[place, *numbers] for place, numbers in bounds.items()]
    return (
        f"(...values) => {{ for (const [place, low, high, usual] of {json.dumps(rows)}) "
        "values[place] = Math.min(high, Math.max(low, Math.round(values[place] ?? usual))); return values; }"
    )


def _method_control() -> gr.Dropdown:
    return gr.Dropdown(_METHOD_CHOICES, value=Options().method, label="Method")
