"""What the tabs share: controls, what connects them, and endpoints for programs. All are made within `gr.Blocks`."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from cifar_explain import METHODS
from cifar_space.service.requests import LARGEST_SEED, Options, RequestError

#: The control of each option, by the option's name: `Options(**values)` takes their values.
Controls = dict[str, Any]

#: For events that concern the model: so many requests at once, which take turns on it. Gradio's limits are per function
#: unless they share a name.
MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 8}

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


def method_control() -> gr.Dropdown:
    """Returns the control of the maps' method."""
    return gr.Dropdown(
        [(_TITLES.get(name, name), name) for name in METHODS], value=Options().method, label="Method"
    )


def opacity_control(*, visible: bool = True) -> gr.Slider:
    """Returns the control of the maps' opacity, which stays in view beside them."""
    return gr.Slider(
        0, 1, value=0.5, step=0.05, label="Opacity of the maps", elem_classes="opacity", visible=visible
    )


def endpoint(
    name: str,
    answers: Callable[..., Iterable[Any]],
    inputs: Mapping[str, Component],
    *,
    description: str,
    **settings: Any,
) -> None:
    """Offers a function to programs.

    Args:
        name: The endpoint's name.
        answers: Called with the inputs' values by name; the last of what it gives is the answer. Before each of them
            Gradio ends the work of a caller who left. A `RequestError` becomes the caller's error message.
        inputs: Components by the endpoint's parameters; a parameter left out has the component's value.
        description: For the page on the API.
        settings: More arguments of the event.
    """

    def call(*values: Any) -> Iterator[Any]:
        try:
            yield from answers(**dict(zip(inputs, values, strict=True)))
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


def connect_maps(box: gr.Checkbox, details: gr.Column, opacity: gr.Slider, variable: str) -> None:
    """Shows the controls of maps while their box is checked; the browser sets a style property to the opacity."""
    box.change(lambda on: [gr.update(visible=on)] * 2, inputs=box, outputs=[details, opacity], **QUIET)
    script = f"value => {{ document.documentElement.style.setProperty('{variable}', value); }}"
    opacity.change(None, inputs=opacity, js=script)


def keep_whole(*numbers: gr.Slider | gr.Number) -> None:
    """Lets boxes show the whole number that `clamped` makes of any other, such as 3 of 2.5.

    An empty box stays empty, since a number may be about to be typed.
    """
    for number in numbers:
        number.change(
            None,
            inputs=number,
            outputs=number,
            js="value => value === null ? null : Math.round(value)",
            api_visibility="private",
        )


def clamped(inputs: Iterable[Component]) -> str:
    """Returns JavaScript that makes the numbers among an event's inputs whole and allowed, before they are sent.

    A number that is typed into a slider's box is sent at once, and corrected by Gradio only when the box is
    left: the server would reject the first and never receive the second. An empty box has its first value.

    >>> clamped([gr.Checkbox(), gr.Slider(1, 10, value=3)])
    '(...values) => { for (const [place, low, high, usual] of [[1, 1, 10, 3]]) values[place] = ...
    """
    rows = [
        [place, one.minimum, LARGEST_SEED if one.maximum is None else one.maximum, one.value]
        for place, one in enumerate(inputs)
        if isinstance(one, gr.Slider | gr.Number)
    ]
    return (
        f"(...values) => {{ for (const [place, low, high, usual] of {json.dumps(rows)}) "
        "values[place] = Math.min(high, Math.max(low, Math.round(values[place] ?? usual))); return values; }"
    )
