"""The second tab: what the model gets wrong. What is computed, and how it looks, is elsewhere."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from cifar_space.service.misclassified import Misclassified
from cifar_space.service.misclassified_page import ANY, LARGEST_SEED, MisclassifiedOptions
from cifar_space.service.requests import RequestError
from cifar_space.service.service import Service
from cifar_space.ui.controls import MODEL, clamped, keep_whole
from cifar_space.ui.misclassified_api import misclassified_api
from cifar_space.ui.misclassified_controls import (
    MisclassifiedControls,
    misclassified_controls,
    page_control,
    page_label,
)
from cifar_space.views.error_tiles import matrix, tiles
from cifar_space.views.fragments import notice
from cifar_space.views.missing import instead_of_images, missing_gallery, missing_images

_QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
_HIDDEN = "Misclassified images are switched off."
# Both run in the browser.
_SET_OPACITY = "(opacity) => { document.documentElement.style.setProperty('--tile-opacity', opacity); }"
_CHOOSE_CELL = """
element.addEventListener('click', (event) => {
  const cell = event.target.closest('button[data-true]');
  if (!cell) return;
  const classes = [Number(cell.dataset.true), Number(cell.dataset.predicted)];
  trigger('select', {index: classes, value: classes});
});
const steps = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
element.addEventListener('keydown', (event) => {
  const cell = event.target.closest('button[data-true]');
  if (!cell || !(event.key in steps)) return;
  event.preventDefault();
  const [down, right] = steps[event.key];
  let [row, column] = [Number(cell.dataset.true), Number(cell.dataset.predicted)];
  for (let passed = 0; passed < 100; passed++) {
    [row, column] = [row + down, column + right];
    const next = element.querySelector(`button[data-true="${row}"][data-predicted="${column}"]`);
    if (next) return next.focus();
  }
});
"""


def misclassified_tab(service: Service) -> None:
    """Build the tab and connect it; its endpoint is `/misclassified`. To be called within a `gr.Tab`."""
    known = service.misclassified
    if known is None:
        gr.HTML(missing_gallery(service), elem_classes="paper")
        with gr.Column(visible=False):
            unused = misclassified_controls(service, errors=0, images=False)
            misclassified_api(service, unused, page_control())
        return
    first = service.misclassified_page(_first(known))
    with gr.Column(elem_classes=["areas", "review"]):
        with gr.Column(elem_classes="given"):
            table = gr.HTML(
                matrix(known.matrix, service.classes),
                elem_id="matrix",
                elem_classes="paper",
                js_on_load=_CHOOSE_CELL,
            )
        # Without errors there is nothing to choose from.
        with gr.Column(elem_classes="asked", visible=bool(known.errors)):
            controls = misclassified_controls(service, errors=len(known.errors), images=known.has_images)
        with gr.Column(elem_classes="found"):
            missing = gr.HTML(missing_images(), elem_classes="paper", visible=not known.has_images)
            results = gr.HTML(tiles(first), elem_id="errors", elem_classes="paper")
            with gr.Row(elem_id="pager", visible=first.pages > 1) as pager:
                back = gr.Button("Previous", size="md", interactive=False)
                page = page_control(pages=first.pages)
                forward = gr.Button("Next", size="md")
            instead = "" if known.has_images else instead_of_images(service)
            figure = gr.HTML(instead, elem_id="instead", elem_classes="paper", visible=bool(instead))
    _connect_page(service, controls, page, (table, results, pager, back, forward))
    # Nothing of the errors is left when they are switched off.
    for one in (missing, figure):
        if one.visible:
            _show_while(controls.shown, one)
    misclassified_api(service, controls, page)


def _connect_page(
    service: Service,
    controls: MisclassifiedControls,
    number: gr.Number,
    filled: tuple[gr.HTML, gr.HTML, gr.Row, gr.Button, gr.Button],
) -> None:
    known = service.misclassified
    table, results, pager, back, forward = filled
    inputs: list[Any] = [controls.shown, *controls.of_options(number)]
    outputs: list[Any] = [table, results, number, pager, back, forward]

    def show(options: MisclassifiedOptions, shown: bool, progress: gr.Progress) -> list[Any]:
        chosen = {"true": options.true, "predicted": options.predicted}
        marked = matrix(known.matrix, service.classes, **chosen) if known else ""
        if not shown:
            return [marked, notice(_HIDDEN), 1, gr.update(visible=False), gr.update(), gr.update()]
        try:
            if known is not None:
                # Who types a page too far gets the last one; programs are refused.
                options = dataclasses.replace(options, page=min(options.page, known.pages(options)))
            page = service.misclassified_page(
                options, progress=lambda share, text: progress(share, desc=text)
            )
        except RequestError as error:
            return [marked, notice(f"{error}.", alert=True), *(gr.update() for _ in range(4))]
        return [
            marked,
            tiles(page, **chosen),
            gr.update(value=page.page, label=page_label(page.page, page.pages)),
            gr.update(visible=page.pages > 1),
            gr.update(interactive=page.page > 1),
            gr.update(interactive=page.page < page.pages),
        ]

    def showing(turn: Callable[[int], int]) -> Callable[..., list[Any]]:
        def shown_page(
            shown: bool,
            count: int,
            page: int,
            order: str,
            seed: int,
            true: str,
            predicted: str,
            explain: bool,
            layer: str,
            method: str,
            progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it as this default
        ) -> list[Any]:
            options = MisclassifiedOptions(
                count, turn(page), order, seed, true, predicted, explain, layer, method
            )
            return show(options, shown, progress)

        return shown_page

    default = MisclassifiedOptions()
    bounds = {
        inputs.index(controls.count): (1, max(1, len(known.errors) if known else 0), default.count),
        inputs.index(controls.seed): (0, LARGEST_SEED, default.seed),
        inputs.index(number): (1, LARGEST_SEED, default.page),
    }
    asked: dict[str, Any] = {
        "js": clamped(bounds), "inputs": inputs, "outputs": outputs, "api_visibility": "private",
        "show_progress_on": results, **MODEL,
    }  # fmt: skip
    begin = showing(lambda page: 1)
    # Not `change` of the two classes: a click into the matrix sets both at once.
    triggers = [
        *(control.change for control in inputs if control not in (number, controls.true, controls.predicted)),
        controls.true.input,
        controls.predicted.input,
    ]
    gr.on(triggers, begin, trigger_mode="always_last", **asked)
    number.submit(showing(lambda page: page), **asked)
    back.click(showing(lambda page: page - 1), **asked)
    forward.click(showing(lambda page: page + 1), **asked)

    def choose(true: str, predicted: str, event: gr.SelectData) -> tuple[str, str]:
        names = [*service.classes, ANY]
        clicked = tuple(names[index] for index in event.index)
        # A second click on the same cell lets go of it.
        return (ANY, ANY) if clicked == (true, predicted) else clicked

    classes = [controls.true, controls.predicted]
    table.select(
        choose, inputs=classes, outputs=classes, queue=False, show_progress="hidden", api_visibility="private"
    ).then(begin, **asked)
    _connect_visibility(controls)


def _connect_visibility(controls: MisclassifiedControls) -> None:
    keep_whole(controls.count, controls.seed)
    _show_while(controls.explain, controls.details)
    controls.order.change(
        lambda order: gr.update(visible=order == "chance"),
        inputs=controls.order,
        outputs=controls.seed,
        **_QUIET,
    )
    controls.opacity.change(None, inputs=controls.opacity, js=_SET_OPACITY)


def _show_while(box: gr.Checkbox, shown: Component | gr.Column) -> None:
    box.change(lambda on: gr.update(visible=on), inputs=box, outputs=shown, **_QUIET)


def _first(known: Misclassified) -> MisclassifiedOptions:
    default = MisclassifiedOptions()
    return MisclassifiedOptions(count=max(1, min(default.count, len(known.errors))))
