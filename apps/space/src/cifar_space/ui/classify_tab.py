"""The first tab: images in, answers out."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from cifar_models import CIFAR10
from cifar_space.artifacts.files import Example
from cifar_space.service.requests import PREDICTED, Options, RequestError, largest_top
from cifar_space.service.serialize import describe
from cifar_space.service.service import Service
from cifar_space.ui.controls import (
    MODEL,
    Controls,
    clamped,
    connect_maps,
    endpoint,
    keep_whole,
    method_control,
    opacity_control,
    reject_addresses,
)
from cifar_space.views.render import cards, maps_note, notice, ood_note, script

# Between two states of a growing answer.
_SECONDS = 0.25


def classify_tab(service: Service, examples: Sequence[Example]) -> None:
    """Builds the tab and connects it; its endpoint is `/classify`. Call it within a `gr.Tab`."""
    first = notice("Add an image.")
    if examples:
        options = Options(top=min(Options().top, largest_top(service.classes)))
        first = cards(service.answer([examples[0].path], options))
    with gr.Column(elem_classes="areas"):
        with gr.Column(elem_classes="given"):
            pictures, offered = _galleries(service, examples)
        with gr.Column(elem_classes="found"):
            opacity = opacity_control()
            results = gr.HTML(
                first, elem_id="results", elem_classes="paper", js_on_load=script("choose_class")
            )
        with gr.Column(elem_classes="asked"):
            controls, details = _options(service)
            if service.ood_detector is not None:
                gr.HTML(ood_note(service.ood_detector), elem_classes="paper")
    connect_maps(controls["explain"], details, opacity, "--heat-opacity")
    keep_whole(controls["top"], controls["explained"])
    _connect_page(service, pictures, offered, examples, controls, results)
    _connect_api(service, controls, opacity)


def _galleries(service: Service, examples: Sequence[Example]) -> tuple[gr.Gallery, gr.Gallery]:
    """Returns the galleries of the visitor's images and of the examples."""
    pictures = gr.Gallery(
        label=f"Your images, up to {service.limits.pictures}",
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
        label=f"Examples: test images{' of CIFAR-10' if service.classes == CIFAR10.classes else ''}",
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


def _options(service: Service) -> tuple[Controls, gr.Column]:
    """Returns the controls of `Options`, and the column of those that have no meaning without maps."""
    default, most, layers = Options(), largest_top(service.classes), list(service.layers)
    with gr.Group(elem_id="options"):
        top = gr.Slider(1, most, value=min(default.top, most), step=1, label="Top classes")
        explain = gr.Checkbox(default.explain, label="Show class activation maps")
        with gr.Column(elem_id="details") as details:
            controls = {
                "top": top,
                "explain": explain,
                "layers": gr.CheckboxGroup(layers, value=layers, label="Layers", elem_id="layers"),
                "method": method_control(),
                "target": gr.Dropdown(
                    [("the predicted class", PREDICTED), *((name, name) for name in service.classes)],
                    value=default.target,
                    label="Class to explain",
                ),
                "explained": gr.Slider(
                    1,
                    service.limits.pictures,
                    value=default.explained,
                    step=1,
                    label="Number of images to explain",
                ),
            }
            gr.HTML(maps_note(service.report), elem_classes=["paper", "note"])
    return controls, details


def _connect_page(
    service: Service,
    pictures: gr.Gallery,
    offered: gr.Gallery,
    examples: Sequence[Example],
    controls: Controls,
    results: gr.HTML,
) -> None:
    def show(
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it as this default
        images: list[tuple[str, str | None]] | None = None,
        *values: Any,
    ) -> Iterator[str]:
        every = [path for path, _ in images or ()]
        given, left_out = every[: service.limits.pictures], every[service.limits.pictures :]
        paths = given or [str(example.path) for example in examples[:1]]
        if not paths:
            yield notice("Add an image.")
            return
        asked = dict(zip(controls, values, strict=True))
        # From the first layer to the last, in whatever order they were ticked.
        layers = [layer for layer in service.layers if layer in (asked["layers"] or ())]
        # Without a layer, visitors keep their answers; programs get an error.
        no_layer = asked["explain"] and not layers
        options = Options(**{**asked, "layers": layers, "explain": asked["explain"] and not no_layer})
        html, sent = "", time.monotonic()
        try:
            for found in service.answers(paths, options, progress=progress):
                html = cards(found, originals=given, left_out=left_out, no_layer=no_layer)
                if time.monotonic() - sent > _SECONDS:
                    yield html
                    sent = time.monotonic()
            yield html
        except RequestError as error:
            yield notice(f"{error}.", alert=True) + html

    def take(event: gr.SelectData) -> list[str]:
        return [str(examples[event.index].path)]

    def take_class(event: gr.SelectData) -> str:
        # A target of the page's own only: the event comes from a browser.
        return event.index if event.index in service.classes else PREDICTED

    inputs = [pictures, *controls.values()]
    asked: dict[str, Any] = {
        "fn": show, "js": clamped(inputs), "inputs": inputs, "outputs": results, "api_visibility": "private",
        **MODEL,
    }  # fmt: skip
    gr.on([component.change for component in inputs], trigger_mode="always_last", **asked)
    # A gallery filled from here tells nobody that it changed.
    offered.select(take, outputs=pictures, queue=False, api_visibility="private").then(**asked)
    results.select(take_class, outputs=controls["target"], queue=False, api_visibility="private")


def _connect_api(service: Service, controls: Controls, opacity: gr.Slider) -> None:
    files = gr.File(file_count="multiple", visible=False, label="images")
    reject_addresses(files)

    def classify(images: list[str] | None, opacity: float, **options: Any) -> Iterator[Any]:
        for found in service.answers(images or [], Options(**options)):  # noqa: B007 - used below
            yield gr.skip()
        yield describe(found, opacity=opacity)

    endpoint(
        "classify",
        classify,
        {"images": files, **controls, "opacity": opacity},
        description="Classify images and, if asked, return class activation maps.",
        **MODEL,
    )
