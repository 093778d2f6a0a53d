"""The first tab: pictures in, answers out. What is computed, and how answers look, is elsewhere."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from cifar_space.artifacts.examples import Example
from cifar_space.service.requests import Options, RequestError, largest_top
from cifar_space.service.serialize import describe
from cifar_space.service.service import Service
from cifar_space.ui.controls import (
    MODEL,
    Controls,
    clamped,
    keep_whole,
    option_controls,
    picture_controls,
    refuse_addresses,
)
from cifar_space.views.fragments import notice
from cifar_space.views.prediction_cards import cards, promise

_HINT = "Add a picture"
_EXAMPLES_HINT = ", or take one of the examples"
_NO_LAYER = '<p class="about" role="status">Choose a layer to see maps.</p>'
# Runs in the browser, where the maps are images of their own.
_SET_OPACITY = "(opacity) => { document.documentElement.style.setProperty('--heat-opacity', opacity); }"


def classify_tab(service: Service, examples: Sequence[Example]) -> None:
    """Build the tab and connect it; its endpoint is `/classify`. To be called within a `gr.Tab`."""
    hint = notice(f"{_HINT}{_EXAMPLES_HINT if examples else ''}.")
    with gr.Column(elem_classes="areas"):
        with gr.Column(elem_classes="given"):
            galleries = picture_controls(service, examples)
        with gr.Column(elem_classes="found"):
            results = gr.HTML(hint, elem_id="results", elem_classes="paper")
        with gr.Column(elem_classes="asked"):
            controls = option_controls(service)
            if service.familiarity is not None:
                gr.HTML(promise(service.familiarity), elem_classes="paper")
    _connect_page(service, galleries, examples, controls, results, hint)
    _connect_api(service, controls)


def _connect_page(
    service: Service,
    galleries: tuple[gr.Gallery, gr.Gallery],
    examples: Sequence[Example],
    controls: Controls,
    results: gr.HTML,
    hint: str,
) -> None:
    pictures, offered = galleries
    inputs = [pictures, *controls.of_model()]

    def show(
        images: list[tuple[str, str | None]] | None,
        top: int,
        explain: bool,
        layers: Sequence[str],
        method: str,
        target: str,
        explained: int,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it as this default
    ) -> str:
        if not images:
            return hint
        # From the first layer to the last, in whatever order they were ticked.
        in_order = [layer for layer in service.layers if layer in layers]
        # Who unticks the last layer keeps the answers; programs are refused.
        no_layer = explain and not in_order
        options = Options(top, explain and not no_layer, in_order, method, target, explained)
        try:
            found = service.answer(
                [path for path, _ in images],
                options,
                progress=lambda share, text: progress(share, desc=text),
            )
        except RequestError as error:
            return notice(f"{error}.", alert=True)
        return (_NO_LAYER if no_layer else "") + cards(found)

    def take(event: gr.SelectData) -> list[str]:
        return [str(examples[event.index].path)]

    default, most = Options(), largest_top(service.classes)
    bounds = {
        inputs.index(controls.top): (1, most, min(default.top, most)),
        inputs.index(controls.explained): (1, service.limits.pictures, default.explained),
    }
    asked: dict[str, Any] = {
        "fn": show, "js": clamped(bounds), "inputs": inputs, "outputs": results, "api_visibility": "private", **MODEL
    }  # fmt: skip
    gr.on([component.change for component in inputs], trigger_mode="always_last", **asked)  # type: ignore[attr-defined]
    # A gallery filled from here tells nobody that it changed.
    offered.select(take, outputs=pictures, queue=False, api_visibility="private").then(**asked)
    controls.explain.change(
        lambda on: gr.update(visible=on),
        inputs=controls.explain,
        outputs=controls.details,
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    keep_whole(controls.top, controls.explained)
    controls.opacity.change(None, inputs=controls.opacity, js=_SET_OPACITY)


def _connect_api(service: Service, controls: Controls) -> None:
    files = gr.File(file_count="multiple", visible=False, label="images")
    refuse_addresses(files)
    answers = gr.JSON(visible=False, label="answers")

    def classify(
        images: list[str] | None,
        top: int,
        explain: bool,
        layers: Sequence[str],
        method: str,
        target: str,
        explained: int,
        opacity: float,
    ) -> list[dict[str, Any]]:
        options = Options(top, explain, layers, method, target, explained)
        try:
            return describe(service.answer(images or [], options), opacity=opacity)
        except RequestError as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.on(
        [],
        classify,
        inputs=[files, *controls.of_model(), controls.opacity],
        outputs=answers,
        api_name="classify",
        api_description="Classify images and, if asked, return where the model sees evidence for a class.",
        show_progress="hidden",
        **MODEL,
    )
