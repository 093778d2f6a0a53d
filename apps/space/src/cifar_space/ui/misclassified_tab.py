"""The second tab: the images that the model gets wrong."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from cifar_space.artifacts.test_images import fetch_test_images, is_of_cifar10
from cifar_space.service.misclassified import Misclassified
from cifar_space.service.requests import ANY, MisclassifiedOptions, RequestError
from cifar_space.service.serialize import describe_misclassified
from cifar_space.service.service import Service
from cifar_space.ui.controls import (
    MODEL,
    QUIET,
    Controls,
    clamped,
    connect_maps,
    endpoint,
    keep_whole,
    method_control,
    opacity_control,
)
from cifar_space.views.render import maps_note, matrix, missing, notice, script, tiles

_NO_IMAGES = '<p class="about">The probabilities of all errors are here, but not their images.</p>'
_HIDDEN = "Misclassified images are switched off."


def misclassified_tab(service: Service, blocks: gr.Blocks) -> None:
    """Builds the tab and connects it; its endpoint is `/misclassified`. Call it within a `gr.Tab`."""
    known = service.misclassified
    if known is None:
        html = missing("gallery", service.gallery_command, service.report, service.classes)
        gr.HTML(html, elem_classes="paper")
        with gr.Column(visible=False):
            _, controls, _ = _options(service, gr.Number(1, precision=0, minimum=1))
            _connect_api(service, controls, opacity_control())
        return
    default = MisclassifiedOptions()
    first = known.page(dataclasses.replace(default, count=max(1, min(default.count, len(known.errors)))))
    bare = not known.has_images
    substitute = missing("images", service.gallery_command, service.report, service.classes) if bare else ""
    with gr.Column(elem_classes=["areas", "review"]):
        with gr.Column(elem_classes="given"):
            table = gr.HTML(
                matrix(known.matrix, service.classes),
                elem_id="matrix",
                elem_classes="paper",
                js_on_load=script("choose_cell"),
            )
        with gr.Column(elem_classes="found"):
            no_images = gr.HTML(_NO_IMAGES, elem_classes="paper", visible=bare)
            fetch = gr.Button(
                "Show the images (24 MB from Hugging Face)",
                elem_id="fetch",
                visible=bare and is_of_cifar10(known.gallery),
            )
            opacity = opacity_control(visible=False)
            results = gr.HTML(tiles(first), elem_id="errors", elem_classes="paper")
            with gr.Row(elem_id="pager", visible=first.pages > 1) as pager:
                back = gr.Button("Previous", size="md", interactive=False)
                page = gr.Number(1, precision=0, minimum=1, label=_page_label(1, first.pages))
                forward = gr.Button("Next", size="md")
            figure = gr.HTML(substitute, elem_id="instead", elem_classes="paper", visible=bool(substitute))
        # Without errors there is nothing to choose from.
        with gr.Column(elem_classes="asked", visible=bool(known.errors)):
            shown, controls, details = _options(service, page)
    connect_maps(controls["explain"], details, opacity, "--tile-opacity")
    keep_whole(controls["count"], controls["seed"])
    begin = _connect_page(service, known, shown, controls, (table, results, pager, back, forward))
    if bare:
        _connect_images(known, shown, controls["explain"], (no_images, fetch, figure), begin, blocks)
    _connect_api(service, controls, opacity)


def _options(service: Service, page: gr.Number) -> tuple[gr.Checkbox, Controls, gr.Column]:
    """Returns the switch of the tab, the controls of `MisclassifiedOptions`, and the column of those of maps.

    The control of the page stands elsewhere.
    """
    known, default = service.misclassified, MisclassifiedOptions()
    errors = len(known.errors) if known else 0
    choices = [("any class", ANY), *((name, name) for name in service.classes)]
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
        order.change(lambda order: gr.update(visible=order == "chance"), inputs=order, outputs=seed, **QUIET)
        with gr.Row():
            true = gr.Dropdown(choices, value=default.true, label="True class", min_width=120)
            predicted = gr.Dropdown(choices, value=default.predicted, label="Predicted as", min_width=120)
        explain = gr.Checkbox(
            default.explain,
            label="Show class activation maps",
            visible=known is not None and known.has_images,
        )
        with gr.Column(visible=False) as details:
            layer = gr.Dropdown(list(service.layers), value=service.layers[-1], label="Layer")
            method = method_control()
            gr.HTML(maps_note(service.report), elem_classes=["paper", "note"])
    controls = {"count": count, "page": page, "order": order, "seed": seed, "true": true}
    controls |= {"predicted": predicted, "explain": explain, "layer": layer, "method": method}
    return shown, controls, details


def _page_label(page: int, pages: int) -> str:
    return f"Page {page} of {pages}"


def _connect_page(
    service: Service,
    known: Misclassified,
    shown: gr.Checkbox,
    controls: Controls,
    filled: tuple[gr.HTML, gr.HTML, gr.Row, gr.Button, gr.Button],
) -> dict[str, Any]:
    """Connects the controls; returns the event's arguments that show the first page of what they ask for."""
    table, results, pager, back, forward = filled
    true, predicted, count, page_box = (controls[name] for name in ("true", "predicted", "count", "page"))

    def showing(turn: Callable[[int], int]) -> Callable[..., list[Any]]:
        def show(
            progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it as this default
            shown: bool = True,
            *values: Any,
        ) -> list[Any]:
            asked = dict(zip(controls, values, strict=True))
            chosen = {"true": asked["true"], "predicted": asked["predicted"]}
            marked = matrix(known.matrix, service.classes, **chosen)
            if not shown:
                return [marked, notice(_HIDDEN), 1, gr.update(visible=False), gr.update(), gr.update()]
            asked["page"] = turn(asked["page"])
            asked["count"] = min(asked["count"], max(1, len(known.errors)))
            try:
                page = known.page(MisclassifiedOptions(**asked), nearest=True, progress=progress)
            except RequestError as error:
                return [marked, notice(f"{error}.", alert=True), *(gr.update() for _ in range(4))]
            return [
                marked,
                tiles(page, **chosen),
                gr.update(value=page.page, label=_page_label(page.page, page.pages)),
                gr.update(visible=page.pages > 1),
                gr.update(interactive=page.page > 1),
                gr.update(interactive=page.page < page.pages),
            ]

        return show

    def choose(true: str, predicted: str, count: int | None, event: gr.SelectData) -> tuple[str, str, int]:
        names = [*service.classes, ANY]
        clicked = (names[event.index[0]], names[event.index[1]])
        count = count or MisclassifiedOptions().count
        # A second click on the same cell releases it.
        if clicked == (true, predicted):
            return ANY, ANY, count
        wanted = [None if name == ANY else name for name in clicked]
        return *clicked, max(count, len(known.errors.filtered(true=wanted[0], predicted=wanted[1])))

    inputs = [shown, *controls.values()]
    asked: dict[str, Any] = {
        "js": clamped(inputs), "inputs": inputs, "outputs": [table, results, page_box, pager, back, forward],
        "api_visibility": "private", "show_progress_on": results, **MODEL,
    }  # fmt: skip
    begin = {"fn": showing(lambda page: 1), **asked}
    # Not `change` of the two classes: a click into the matrix sets both at once.
    triggers = [control.change for control in inputs if control not in (page_box, true, predicted)]
    gr.on([*triggers, true.input, predicted.input], trigger_mode="always_last", **begin)
    page_box.submit(showing(lambda page: page), **asked)
    to_errors = {"fn": None, "js": script("show_errors")}
    back.click(showing(lambda page: page - 1), **asked).then(**to_errors)
    forward.click(showing(lambda page: page + 1), **asked).then(**to_errors)
    cell = [true, predicted, count]
    table.select(choose, inputs=cell, outputs=cell, **QUIET).then(**begin).then(**to_errors)
    return begin


def _connect_images(
    known: Misclassified,
    shown: gr.Checkbox,
    explain: gr.Checkbox,
    substitutes: tuple[gr.HTML, gr.Button, gr.HTML],
    begin: dict[str, Any],
    blocks: gr.Blocks,
) -> None:
    """Lets the images appear once they are fetched, also for visitors who come later."""
    parts = [part for part in substitutes if part.visible]

    def update(on: bool) -> list[Any]:
        there = known.has_images
        return [gr.update(visible=there), *(gr.update(visible=on and not there) for _ in parts)]

    def fetch(
        on: bool,
        progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008 - Gradio finds it as this default
    ) -> list[Any]:
        try:
            if not known.has_images:
                known.add_images(fetch_test_images(known.gallery))
        except (OSError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error
        return update(on)

    asked: dict[str, Any] = {"inputs": shown, "outputs": [explain, *parts]}
    button = substitutes[1]
    button.click(fetch, concurrency_limit=1, api_visibility="private", **asked).success(**begin)
    shown.change(update, **asked, **QUIET)
    blocks.load(update, **asked, **QUIET).then(**begin)


def _connect_api(service: Service, controls: Controls, opacity: gr.Slider) -> None:
    def misclassified(opacity: float, **options: Any) -> Iterator[dict[str, Any]]:
        page = service.misclassified_page(MisclassifiedOptions(**options))
        yield describe_misclassified(page, opacity=opacity)

    endpoint(
        "misclassified",
        misclassified,
        {**controls, "opacity": opacity},
        description="List misclassified test images, page by page, with their numbers and, if asked, maps.",
        **MODEL,
    )
