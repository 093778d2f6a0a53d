"""The first tab: images in, answers out."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import gradio as gr

from cifar_space.artifacts.files import Example
from cifar_space.service.requests import PREDICTED, Options, RequestError, largest_top
from cifar_space.service.serialize import describe
from cifar_space.service.service import Service
from cifar_space.ui.controls import (
    MODEL,
    Controls,
    clamped,
    classify_controls,
    endpoint,
    keep_whole,
    opacity_control,
    picture_controls,
    reject_addresses,
    set_style,
    show_while,
)
from cifar_space.views.render import cards, maps_note, notice, ood_note

# Runs in the browser: a class's bar chooses it, and no file shows the sign of a broken image.
_CHOOSE_CLASS = """
element.addEventListener('click', (event) => {
  const bar = event.target.closest('button[data-class]');
  if (bar) trigger('select', {index: bar.dataset.class, value: bar.dataset.class});
});
document.addEventListener('error', (event) => {
  if (event.target.matches?.('#pictures img')) event.target.classList.add('unreadable');
}, true);
"""


def classify_tab(service: Service, examples: Sequence[Example]) -> None:
    """Builds the tab and connects it; its endpoint is `/classify`. Call it within a `gr.Tab`."""
    first = notice("Add an image.")
    if examples:
        options = Options(top=min(Options().top, largest_top(service.classes)))
        first = cards(service.answer([examples[0].path], options), example=True)
    judged = service.report is not None and "faithfulness" in service.report.figures
    with gr.Column(elem_classes="areas"):
        with gr.Column(elem_classes="given"):
            pictures, offered = picture_controls(service.classes, service.limits, examples)
        with gr.Column(elem_classes="found"):
            opacity = opacity_control()
            results = gr.HTML(first, elem_id="results", elem_classes="paper", js_on_load=_CHOOSE_CLASS)
        with gr.Column(elem_classes="asked"):
            controls = classify_controls(
                service.classes,
                service.layers,
                service.limits,
                opacity=opacity,
                note=maps_note(judged=judged),
            )
            if service.ood_detector is not None:
                gr.HTML(ood_note(service.ood_detector), elem_classes="paper")
    show_while(controls.of["explain"], controls.details)
    show_while(controls.of["explain"], opacity)
    keep_whole(controls.of["top"], controls.of["explained"])
    set_style(controls.opacity, "--heat-opacity")
    _connect_page(service, pictures, offered, examples, controls, results)
    _connect_api(service, controls)


def _connect_page(
    service: Service,
    pictures: gr.Gallery,
    offered: gr.Gallery,
    examples: Sequence[Example],
    controls: Controls,
    results: gr.HTML,
) -> None:
    inputs = [pictures, *controls.inputs(Options).values()]

    def show(
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it as this default
        images: list[tuple[str, str | None]] | None = None,
        *values: Any,
    ) -> str:
        paths = [path for path, _ in images or ()] or [str(example.path) for example in examples[:1]]
        if not paths:
            return notice("Add an image.")
        options = Options(*values)
        # From the first layer to the last, in whatever order they were ticked.
        layers = [layer for layer in service.layers if layer in (options.layers or ())]
        # Without a layer, visitors keep their answers; programs get an error.
        no_layer = options.explain and not layers
        options = dataclasses.replace(options, explain=options.explain and not no_layer, layers=layers)
        try:
            found = service.answer(paths, options, progress=lambda share, text: progress(share, desc=text))
        except RequestError as error:
            return notice(f"{error}.", alert=True)
        return cards(found, no_layer=no_layer, example=not images)

    def take(event: gr.SelectData) -> list[str]:
        return [str(examples[event.index].path)]

    def take_class(event: gr.SelectData) -> str:
        # A target of the page's own only: the event comes from a browser.
        return event.index if event.index in service.classes else PREDICTED

    results.select(take_class, outputs=controls.of["target"], queue=False, api_visibility="private")

    default, most = Options(), largest_top(service.classes)
    bounds = {
        inputs.index(controls.of["top"]): (1, most, min(default.top, most)),
        inputs.index(controls.of["explained"]): (1, service.limits.pictures, default.explained),
    }
    asked: dict[str, Any] = {
        "fn": show, "js": clamped(bounds), "inputs": inputs, "outputs": results, "api_visibility": "private", **MODEL
    }  # fmt: skip
    gr.on([component.change for component in inputs], trigger_mode="always_last", **asked)  # type: ignore[attr-defined]
    # A gallery filled from here tells nobody that it changed.
    offered.select(take, outputs=pictures, queue=False, api_visibility="private").then(**asked)


def _connect_api(service: Service, controls: Controls) -> None:
    files = gr.File(file_count="multiple", visible=False, label="images")
    reject_addresses(files)

    def classify(images: list[str] | None, *values: Any) -> list[dict[str, Any]]:
        *options, opacity = values
        return describe(service.answer(images or [], Options(*options)), opacity=opacity)

    endpoint(
        "classify",
        classify,
        {"images": files, **controls.inputs(Options), "opacity": controls.opacity},
        description="Classify images and, if asked, return class activation maps.",
        **MODEL,
    )
