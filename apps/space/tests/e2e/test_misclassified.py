"""The second tab, as a visitor uses it."""

import dataclasses
import re
from unittest.mock import Mock

import pytest

from cifar_explain import read_gallery
from cifar_models import load_weights
from cifar_space import PAGE_SIZE, MisclassifiedOptions, Service

expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect


@pytest.fixture
def tab(page):
    page.get_by_role("tab", name="Misclassified").click()
    expect(page.locator("#errors .tile")).to_have_count(PAGE_SIZE)
    return page


@pytest.fixture
def frequent(run_service):
    """The cell of the most frequent error, and how many there are."""
    matrix = run_service.misclassified.matrix.copy()
    matrix[range(10), range(10)] = 0
    row, column = divmod(int(matrix.argmax()), 10)
    return row, column, int(matrix[row, column])


def cell(page, row, column):
    return page.locator(f'#matrix button[data-true="{row}"][data-predicted="{column}"]')


def numbers(page):
    return page.locator("#errors .tile figcaption:has-text('no.')").all_inner_texts()


def expect_page(page, number, pages):
    expect(page.get_by_label(f"Page {number} of {pages}")).to_have_value(str(number))
    expect(page.locator("#errors [role=status]")).to_contain_text(f"{(number - 1) * PAGE_SIZE + 1} to")


def test_a_click_into_the_matrix_or_two_classes_filter(tab, run_service, frequent, choose):
    row, column, count = frequent
    true, predicted = run_service.classes[row], run_service.classes[column]
    chosen = cell(tab, row, column)
    chosen.click()
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("#errors [role=status]")).to_contain_text(f"errors of {true} predicted as {predicted}")
    titles = [f"{true} predicted as {predicted}"] * min(count, PAGE_SIZE)
    expect(tab.locator("#errors .tile p:first-of-type")).to_have_text(titles)
    expect(tab.get_by_label("True class", exact=True)).to_have_value(true)
    expect(tab.get_by_label("Predicted as", exact=True)).to_have_value(predicted)
    # The same cell again lets go of it.
    chosen.click()
    expect(tab.locator("#errors .tile")).to_have_count(PAGE_SIZE)
    expect(tab.get_by_label("True class", exact=True)).to_have_value("any class")
    # The lists of classes choose as well.
    choose(tab, "True class", true)
    expect(cell(tab, row, -1)).to_have_attribute("aria-pressed", "true")
    choose(tab, "Predicted as", predicted)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(tab.locator("#errors [role=status]")).to_contain_text(f"of {count} errors")


def test_the_matrix_by_keyboard(tab, run_service, frequent):
    row, column, _ = frequent
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


def test_orders(tab, run_service):
    by_loss = run_service.misclassified_page(MisclassifiedOptions(order="loss"))
    first = numbers(tab)
    tab.get_by_label("greatest loss first").check()
    expect(tab.locator("#errors .said dd:nth-of-type(3)").first).to_have_text(f"{by_loss.images[0].loss:.2f}")
    assert numbers(tab) != first
    tab.get_by_label("random", exact=True).check()
    seed = tab.get_by_label("Seed of the random order")
    expect(seed).to_be_visible()
    drawn = numbers(tab)
    seed.fill("4.6")
    seed.press("Tab")
    expect(seed).to_have_value("5")
    expect(tab.locator("#errors .tile figcaption").first).not_to_have_text(drawn[0])


def test_count_and_pages(tab, run_service, fill):
    total = len(run_service.misclassified.errors)
    pages = -(-total // PAGE_SIZE)
    back, forward = (tab.get_by_role("button", name=name) for name in ("Previous", "Next"))
    fill(tab, "Number of errors", total)
    expect_page(tab, 1, pages)
    expect(back).to_be_disabled()
    seen = set(numbers(tab))
    for number in range(2, pages + 1):
        forward.click()
        expect_page(tab, number, pages)
        seen |= set(numbers(tab))
    assert len(seen) == total
    expect(forward).to_be_disabled()
    # For a number without a page there is the nearest one, and the box shows which.
    for typed, number in (("99", pages), ("-3", 1)):
        tab.locator("#pager input").fill(typed)
        tab.locator("#pager input").press("Enter")
        expect_page(tab, number, pages)
    fill(tab, "Number of errors", 3)
    expect(tab.locator("#errors .tile")).to_have_count(3)
    expect(forward).to_be_hidden()


def test_maps_for_both_classes_with_opacity(tab, run_service, choose, fill):
    fill(tab, "Number of errors", 2)
    tab.get_by_label("Show class activation maps").last.check()
    heat = tab.locator("#errors .heat")
    expect(heat).to_have_count(4)
    tile = tab.locator("#errors .tile").first
    true, predicted = re.fullmatch(r"(\w+) predicted as (\w+)", tile.locator("p").first.inner_text()).groups()
    # A map that is dark all over says so behind its class.
    captions = tile.locator("figcaption").all_inner_texts()[1:]
    assert [text.removesuffix(": no evidence") for text in captions] == [predicted, true]
    for label, option in (("Layer", run_service.layers[0]), ("Method", "LayerCAM")):
        before = heat.first.get_attribute("src")
        choose(tab, label, option)
        expect(heat.first).not_to_have_attribute("src", before)
    fill(tab, "Opacity of the maps", 1)
    expect(heat.first).to_have_css("opacity", "1")


def test_images_appear_at_a_press_and_for_later_visitors(open_page, serve, run_files, monkeypatch):
    gallery = read_gallery(run_files.gallery)
    fetch = Mock(side_effect=[OSError("no network"), gallery.images])
    monkeypatch.setattr("cifar_space.ui.misclassified_tab.fetch_test_images", fetch)
    bare = Service(load_weights(run_files.weights), gallery=dataclasses.replace(gallery, images=None))
    with serve(bare) as served:
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
