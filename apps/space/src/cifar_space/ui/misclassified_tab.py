"""The second tab: the images that the model gets wrong."""

import dataclasses
from collections.abc import Callable
from typing import Any

import gradio as gr

from cifar_models import CIFAR10
from cifar_space.artifacts.test_images import fetch_test_images
from cifar_space.service.misclassified import Misclassified
from cifar_space.service.requests import ANY, LARGEST_SEED, MisclassifiedOptions, RequestError
from cifar_space.service.serialize import describe_misclassified
from cifar_space.service.service import Service
from cifar_space.ui.controls import (
    MODEL,
    QUIET,
    Controls,
    clamped,
    endpoint,
    keep_whole,
    misclassified_controls,
    opacity_control,
    set_style,
    show_while,
)
from cifar_space.views.render import maps_note, matrix, missing, notice, tiles

_NO_IMAGES = '<p class="about">The probabilities of all errors are here, but not their images.</p>'
_HIDDEN = "Misclassified images are switched off."
# These run in the browser.
_TO_TOP = """() => {
  const errors = document.querySelector('#errors');
  const { top } = errors.getBoundingClientRect();
  if (top < 0 || top > innerHeight) errors.scrollIntoView({block: 'start'});
}"""
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


def misclassified_tab(service: Service, blocks: gr.Blocks) -> None:
    """Builds the tab and connects it; its endpoint is `/misclassified`. Call it within a `gr.Tab`."""
    known = service.misclassified
    if known is None:
        html = missing("gallery", service.gallery_command, service.report, service.classes)
        gr.HTML(html, elem_classes="paper")
        with gr.Column(visible=False):
            _connect_api(service, _controls(service, _page_control(), opacity_control())[1])
        return
    options = MisclassifiedOptions()
    first = known.page(dataclasses.replace(options, count=max(1, min(options.count, len(known.errors)))))
    substitute = ""
    if not known.has_images:
        substitute = missing("images", service.gallery_command, service.report, service.classes)
    page = _page_control(pages=first.pages, render=False)
    with gr.Column(elem_classes=["areas", "review"]):
        with gr.Column(elem_classes="given"):
            table = gr.HTML(
                matrix(known.matrix, service.classes),
                elem_id="matrix",
                elem_classes="paper",
                js_on_load=_CHOOSE_CELL,
            )
        with gr.Column(elem_classes="found"):
            no_images = gr.HTML(_NO_IMAGES, elem_classes="paper", visible=not known.has_images)
            fetch = gr.Button(
                "Show the images (24 MB from Hugging Face)",
                elem_id="fetch",
                visible=not known.has_images
                and known.gallery.split == "test"
                and service.classes == CIFAR10.classes,
            )
            opacity = opacity_control(visible=False)
            results = gr.HTML(tiles(first), elem_id="errors", elem_classes="paper")
            with gr.Row(elem_id="pager", visible=first.pages > 1) as pager:
                back = gr.Button("Previous", size="md", interactive=False)
                page.render()  # type: ignore[no-untyped-call]
                forward = gr.Button("Next", size="md")
            figure = gr.HTML(substitute, elem_id="instead", elem_classes="paper", visible=bool(substitute))
        # Without errors there is nothing to choose from.
        with gr.Column(elem_classes="asked", visible=bool(known.errors)):
            shown, controls = _controls(service, page, opacity)
    show_while(controls.of["explain"], controls.details)
    show_while(controls.of["explain"], opacity)
    keep_whole(controls.of["count"], controls.of["seed"])
    set_style(controls.opacity, "--tile-opacity")
    order, seed = controls.of["order"], controls.of["seed"]
    order.change(lambda order: gr.update(visible=order == "chance"), inputs=order, outputs=seed, **QUIET)  # type: ignore[attr-defined]
    begin = _connect_page(service, known, shown, controls, (table, results, pager, back, forward))
    if not known.has_images:
        _connect_images(known, shown, controls, (no_images, fetch, figure), begin, blocks)
    _connect_api(service, controls)


def _connect_images(
    known: Misclassified,
    shown: gr.Checkbox,
    controls: Controls,
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

    outputs = [controls.of["explain"], *parts]
    substitutes[1].click(
        fetch, inputs=shown, outputs=outputs, concurrency_limit=1, api_visibility="private"
    ).success(**begin)
    shown.change(update, inputs=shown, outputs=outputs, **QUIET)
    blocks.load(update, inputs=shown, outputs=outputs, **QUIET).then(**begin)


def _controls(service: Service, page: gr.Number, opacity: gr.Slider) -> tuple[gr.Checkbox, Controls]:
    known = service.misclassified
    return misclassified_controls(
        service.classes,
        service.layers,
        errors=len(known.errors) if known else 0,
        images=known is not None and known.has_images,
        page=page,
        opacity=opacity,
        note=maps_note(judged=service.report is not None and "faithfulness" in service.report.figures),
    )


def _page_control(*, pages: int = 1, render: bool = True) -> gr.Number:
    return gr.Number(1, precision=0, minimum=1, label=_page_label(1, pages), render=render)


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
    of = controls.of
    inputs: list[Any] = [shown, *controls.inputs(MisclassifiedOptions).values()]
    outputs: list[Any] = [table, results, of["page"], pager, back, forward]

    def show(options: MisclassifiedOptions, shown: bool, progress: gr.Progress) -> list[Any]:
        chosen = {"true": options.true, "predicted": options.predicted}
        marked = matrix(known.matrix, service.classes, **chosen)
        if not shown:
            return [marked, notice(_HIDDEN), 1, gr.update(visible=False), gr.update(), gr.update()]
        try:
            # A page number that is too large means the last page; programs get an error.
            options = dataclasses.replace(options, page=min(options.page, known.pages(options)))
            page = known.page(options, progress=lambda share, text: progress(share, desc=text))
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

    def showing(turn: Callable[[int], int]) -> Callable[..., list[Any]]:
        def shown_page(
            progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it as this default
            shown: bool = True,
            *values: Any,
        ) -> list[Any]:
            options = MisclassifiedOptions(*values)
            return show(dataclasses.replace(options, page=turn(options.page)), shown, progress)

        return shown_page

    default = MisclassifiedOptions()
    bounds = {
        inputs.index(of["count"]): (1, max(1, len(known.errors)), default.count),
        inputs.index(of["seed"]): (0, LARGEST_SEED, default.seed),
        inputs.index(of["page"]): (1, LARGEST_SEED, default.page),
    }
    asked: dict[str, Any] = {
        "js": clamped(bounds), "inputs": inputs, "outputs": outputs, "api_visibility": "private",
        "show_progress_on": results, **MODEL,
    }  # fmt: skip
    begin = showing(lambda page: 1)
    # Not `change` of the two classes: a click into the matrix sets both at once.
    classes: list[Any] = [of["true"], of["predicted"]]
    triggers = [control.change for control in inputs if control not in (of["page"], *classes)]
    gr.on([*triggers, *(control.input for control in classes)], begin, trigger_mode="always_last", **asked)
    of["page"].submit(showing(lambda page: page), **asked)  # type: ignore[attr-defined]
    back.click(showing(lambda page: page - 1), **asked).then(None, js=_TO_TOP)
    forward.click(showing(lambda page: page + 1), **asked).then(None, js=_TO_TOP)

    def choose(true: str, predicted: str, count: int | None, event: gr.SelectData) -> tuple[str, str, int]:
        names = [*service.classes, ANY]
        clicked = (names[event.index[0]], names[event.index[1]])
        count = count or default.count
        # A second click on the same cell releases it.
        if clicked == (true, predicted):
            return ANY, ANY, count
        wanted = [None if name == ANY else name for name in clicked]
        return *clicked, max(count, len(known.errors.filtered(true=wanted[0], predicted=wanted[1])))

    chosen = [*classes, of["count"]]
    table.select(choose, inputs=chosen, outputs=chosen, **QUIET).then(begin, **asked).then(None, js=_TO_TOP)
    return {"fn": begin, **asked}


def _connect_api(service: Service, controls: Controls) -> None:
    def misclassified(*values: Any) -> dict[str, Any]:
        *options, opacity = values
        page = service.misclassified_page(MisclassifiedOptions(*options))
        return describe_misclassified(page, opacity=opacity)

    endpoint(
        "misclassified",
        misclassified,
        {**controls.inputs(MisclassifiedOptions), "opacity": controls.opacity},
        description="List misclassified test images, page by page, with their numbers and, if asked, maps.",
        **MODEL,
    )
