"""The second tab, as a visitor uses it."""

import dataclasses
import re
from typing import Any
from unittest.mock import Mock

import pytest

from cifar_explain import read_gallery
from cifar_models import load_weights
from cifar_space import PAGE_SIZE, MisclassifiedOptions, Service

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect


@pytest.fixture
def tab(page: Any) -> Any:
    page.get_by_role("tab", name="Misclassified").click()
    expect(page.locator("#errors .tile")).to_have_count(PAGE_SIZE)
    return page


def frequent(service: Service) -> tuple[int, int, int]:
    """The cell of the most frequent error, and how many there are."""
    matrix = service.misclassified.matrix.copy()
    matrix[range(10), range(10)] = 0
    row, column = divmod(int(matrix.argmax()), 10)
    return row, column, int(matrix[row, column])


def cell(page: Any, row: int, column: int) -> Any:
    return page.locator(f'#matrix button[data-true="{row}"][data-predicted="{column}"]')


def numbers(page: Any) -> list[str]:
    return page.locator("#errors .tile figcaption:has-text('no.')").all_inner_texts()


def fill(page: Any, label: str, value: int) -> None:
    page.get_by_label(f"number input for {label}").last.fill(str(value))
    page.keyboard.press("Tab")


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).last.click()
    page.get_by_role("option", name=option, exact=True).click()
    # The list fades; while it does, a second one would be there twice.
    expect(page.get_by_role("option")).to_have_count(0)


def test_a_click_into_the_matrix_filters(tab: Any, run_service: Service) -> None:
    row, column, count = frequent(run_service)
    true, predicted = run_service.classes[row], run_service.classes[column]
    cell(tab, row, column).click()
    expect(cell(tab, row, column)).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("#errors [role=status]")).to_contain_text(f"errors of {true} predicted as {predicted}")
    expect(tab.locator("#errors .tile")).to_have_count(min(count, PAGE_SIZE))
    for text in tab.locator("#errors .tile p:first-of-type").all_inner_texts():
        assert text == f"{true} predicted as {predicted}"
    expect(tab.get_by_label("True class", exact=True)).to_have_value(true)
    expect(tab.get_by_label("Predicted as", exact=True)).to_have_value(predicted)
    # The same cell again lets go of it.
    cell(tab, row, column).click()
    expect(tab.locator("#errors .tile")).to_have_count(PAGE_SIZE)
    expect(tab.get_by_label("True class", exact=True)).to_have_value("any class")


def test_the_matrix_by_keyboard(tab: Any, run_service: Service) -> None:
    row, column, _ = frequent(run_service)
    cell(tab, -1, 0).focus()
    for _ in range(column):
        tab.keyboard.press("ArrowRight")
    expect(cell(tab, -1, column)).to_be_focused()
    # Downwards, past right answers and errors that do not occur.
    for _ in range(10):
        if cell(tab, row, column).evaluate("cell => cell === document.activeElement"):
            break
        tab.keyboard.press("ArrowDown")
    expect(cell(tab, row, column)).to_be_focused()
    tab.keyboard.press("Enter")
    expect(cell(tab, row, column)).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("#errors [role=status]")).to_contain_text(run_service.classes[column])


def test_classes_can_be_chosen_without_the_matrix(tab: Any, run_service: Service) -> None:
    row, column, count = frequent(run_service)
    choose(tab, "True class", run_service.classes[row])
    expect(cell(tab, row, -1)).to_have_attribute("aria-pressed", "true")
    choose(tab, "Predicted as", run_service.classes[column])
    expect(cell(tab, row, column)).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("#errors [role=status]")).to_contain_text(f"of {count} errors")


def test_order_count_and_pages(tab: Any, run_service: Service) -> None:
    losses = [
        image.loss for image in run_service.misclassified.page(MisclassifiedOptions(order="loss")).images
    ]
    first = numbers(tab)
    tab.get_by_label("greatest loss first").check()
    expect(tab.locator("#errors .said dd:nth-of-type(3)").first).to_have_text(f"{losses[0]:.2f}")
    assert numbers(tab) != first

    tab.get_by_label("random", exact=True).check()
    seed = tab.get_by_label("Seed of the random order")
    expect(seed).to_be_visible()
    drawn = numbers(tab)
    seed.fill("4.6")
    seed.press("Tab")
    expect(seed).to_have_value("5")
    expect(tab.locator("#errors .tile figcaption").first).not_to_have_text(drawn[0])

    total = len(run_service.misclassified.errors)
    fill(tab, "Number of errors", total)
    pages = -(-total // PAGE_SIZE)
    expect(tab.get_by_label(f"Page 1 of {pages}")).to_have_value("1")
    expect(tab.get_by_role("button", name="Previous")).to_be_disabled()
    seen = set(numbers(tab))
    for number in range(2, pages + 1):
        tab.get_by_role("button", name="Next").click()
        expect(tab.get_by_label(f"Page {number} of {pages}")).to_have_value(str(number))
        expect(tab.locator("#errors [role=status]")).to_contain_text(f"{(number - 1) * PAGE_SIZE + 1} to")
        seen |= set(numbers(tab))
    assert len(seen) == total
    expect(tab.get_by_role("button", name="Next")).to_be_disabled()
    # Who types a page that there is not gets the nearest one, and the box shows which.
    box = tab.locator("#pager input")
    for typed, number in (("99", pages), ("-3", 1)):
        box.fill(typed)
        box.press("Enter")
        expect(tab.get_by_label(f"Page {number} of {pages}")).to_have_value(str(number))
        expect(tab.locator("#errors [role=status]")).to_contain_text(f"{(number - 1) * PAGE_SIZE + 1} to")
    fill(tab, "Number of errors", 3)
    expect(tab.locator("#errors .tile")).to_have_count(3)
    expect(tab.get_by_role("button", name="Next")).to_be_hidden()


def test_off_and_on(tab: Any) -> None:
    tab.get_by_label("Show misclassified images").uncheck()
    expect(tab.locator("#errors .notice")).to_contain_text("switched off")
    expect(tab.locator("#errors .tile")).to_have_count(0)
    tab.get_by_label("Show misclassified images").check()
    expect(tab.locator("#errors .tile")).to_have_count(PAGE_SIZE)


def test_maps_for_both_classes_with_opacity(tab: Any, run_service: Service) -> None:
    fill(tab, "Number of errors", 2)
    tab.get_by_label("Show class activation maps").last.check()
    heat = tab.locator("#errors .heat")
    expect(heat).to_have_count(4)
    tile = tab.locator("#errors .tile").first
    true, predicted = re.fullmatch(r"(\w+) predicted as (\w+)", tile.locator("p").first.inner_text()).groups()
    # A map that is dark all over says so behind its class.
    captions = tile.locator("figcaption").all_inner_texts()[1:]
    assert [text.removesuffix(": no evidence") for text in captions] == [predicted, true]

    deepest = heat.first.get_attribute("src")
    choose(tab, "Layer", run_service.layers[0])
    expect(heat.first).not_to_have_attribute("src", deepest)
    shallow = heat.first.get_attribute("src")
    choose(tab, "Method", "LayerCAM")
    expect(heat.first).not_to_have_attribute("src", shallow)

    fill(tab, "Opacity of the maps", 1)
    expect(heat.first).to_have_css("opacity", "1")


def test_people_and_verdicts(tab: Any, run_service: Service) -> None:
    for number in range(3):
        tile = tab.locator("#errors .tile").nth(number)
        expect(tile).to_contain_text("People: ")
        expect(tile.locator(".verdict")).to_be_visible()
    errors, rechecks = run_service.misclassified.errors, run_service.misclassified.gallery.human.rechecks
    index = next(position for position, recheck in enumerate(rechecks) if recheck is not None)
    cell(tab, int(errors.labels[index]), int(errors.predictions[index])).click()
    tile = tab.locator(f"#errors .tile:has-text('no. {errors.indices[index]}')").first
    expect(tile).to_contain_text("Label re-checked: 1 of 5 people")


def test_images_appear_at_a_press_and_for_later_visitors(
    open_page: Any, serve: Any, run_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = read_gallery(run_folder / "gallery")
    weights = load_weights(run_folder / "model.safetensors")
    fetch = Mock(side_effect=[OSError("no network"), gallery.images])
    monkeypatch.setattr("cifar_space.ui.misclassified_tab.fetch_test_images", fetch)
    with serve(Service(weights, gallery=dataclasses.replace(gallery, images=None))) as served:
        page = open_page(served.local_url)
        page.get_by_role("tab", name="Misclassified").click()
        press = page.get_by_role("button", name="Show the images (24 MB from Hugging Face)")
        press.click()
        expect(page.get_by_text("no network")).to_be_visible()
        assert page.locator("#errors .photo").count() == 0
        press.click()
        expect(page.locator("#errors .photo")).to_have_count(PAGE_SIZE)
        expect(press).to_be_hidden()
        page.get_by_label("Show class activation maps").last.check()
        expect(page.locator("#errors .heat")).to_have_count(2 * PAGE_SIZE)
        later = open_page(served.local_url, theme="dark")
        later.get_by_role("tab", name="Misclassified").click()
        expect(later.locator("#errors .photo")).to_have_count(PAGE_SIZE)
        assert fetch.call_count == 2
