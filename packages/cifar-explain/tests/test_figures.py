"""Figures: what they show is what was given, nothing is clipped, and no text lies on another."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.text import Text

import cifar_explain as ce

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LONG = tuple(f"{name} of the northern forests, {number}" for number, name in enumerate(CIFAR * 2))
NAMES = {2: ("$\\frac", "a$b$\nc"), 10: CIFAR, 20: LONG}


def case(classes):
    """Probabilities of 300 images and labels that mostly agree with them."""
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.2] * classes, 300)
    guesses = probabilities.argmax(1)
    return probabilities, np.where(generator.random(300) < 0.8, guesses, generator.integers(0, classes, 300))


def faithfulness_rows(*layers):
    generator = np.random.default_rng(0)
    means = {ce.RANDOM: 0.0, "gradcam": 0.2, "hirescam": 0.0, "layercam": -0.2}
    draw = lambda mean: mean + generator.normal(size=20) * 0.05  # noqa: E731
    return [ce.Faithfulness(name, layer, (8, 8), draw(means[name])) for layer in layers for name in means]


def error_arguments(*, count=3, classes=10, layers=2, size=(32, 32)):
    generator = np.random.default_rng(0)
    errors = ce.find_errors(*case(classes), class_names=NAMES[classes]).take(slice(0, count))
    photos = generator.integers(0, 256, (count, *size, 3), np.uint8)
    maps, others = generator.random((2, count, layers, *size)).astype(np.float32)
    named = [f"features.{number}.conv" for number in range(layers)]
    return (errors, photos), {"maps": maps, "true_maps": others, "layers": named}


def drawn(figure):
    """The figure's pixels, uint8 `(height, width, 3)`, at its own resolution."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def text_boxes(figure):
    """The boxes of the texts that are drawn; ticks beyond the ends of their axis exist, but are not."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            hidden |= {tick.label1 for tick in ticks if not axes.axison or not low <= tick.get_loc() <= high}
    texts = {text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()} - hidden
    # The box of a tilted label is larger than what is drawn of it.
    upright = [text for text in texts if not text.get_rotation() % 90]
    return [(text.get_text(), text.get_window_extent().padded(-2)) for text in upright]


def assert_separate(figure):
    """No text is cut off by the figure's edge or lies on another."""
    boxes = text_boxes(figure)
    for text, box in boxes:
        assert np.array_equal(box.extents, figure.bbox.intersection(box, figure.bbox.padded(2)).extents), text
    for (one, box), (other, another) in combinations(boxes, 2):
        assert not box.overlaps(another), (one, other)


@pytest.mark.parametrize(("classes", "theme"), [(2, "light"), (10, "dark"), (20, "light")])
def test_figures_have_the_themes_background_and_no_text_clipped_or_on_another(classes, theme):
    probabilities, labels = case(classes)
    names, matrix = NAMES[classes], ce.confusion_matrix(labels, probabilities.argmax(1), classes=classes)
    curve = ce.reliability_curve(probabilities, labels)
    background = np.round(np.array(to_rgb(ce.THEMES[theme].surface)) * 255)
    for figure in (
        ce.plot_confusion(matrix, class_names=names, theme=theme),
        ce.plot_classes(ce.class_reports(matrix, class_names=names), theme=theme),
        ce.plot_reliability(curve, calibrated=curve, theme=theme),
        ce.plot_faithfulness(faithfulness_rows("conv1", "features.7.block.conv2.very.deep"), theme=theme),
    ):
        pixels = drawn(figure)
        np.testing.assert_array_equal(pixels[[0, 0, -1, -1], [0, -1, 0, -1]], [background] * 4)
        assert pixels.shape[1] == 9 * 200  # the width of a README, on a dense screen
        assert_separate(figure)


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    values = np.array(to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ce.THEMES.values(), ids=list(ce.THEMES))
def test_colours_have_contrast_and_direction_and_differ_for_the_colour_blind(theme):
    for colour in (theme.ink, theme.muted, theme.accent, theme.second):
        assert contrast(colour, theme.surface) >= 4.5, colour
    for colormap in (theme.colormap, theme.colormap_second):
        steps = np.diff([luminance(colour) for colour in colormap(np.linspace(0, 1, 64))])
        assert (np.sign(steps) == np.sign(luminance(theme.ink) - luminance(theme.surface))).all()
    # Viénot, Brettel and Mollon 1999: what protanopes and deuteranopes see, in linear RGB.
    protan = [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]
    deutan = [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
    for matrix in (protan, deutan):
        one, other = (np.array(matrix) @ np.array(to_rgb(c)) ** 2.2 for c in (theme.accent, theme.second))
        assert np.abs(one.clip(0) ** (1 / 2.2) - other.clip(0) ** (1 / 2.2)).max() > 0.25


@pytest.mark.parametrize("least", [0.05, 0.36, 0.76, 0.83, 0.93])
def test_ticks_of_shares_are_labelled_with_their_place(least):
    shares = np.linspace(least, 1, 10)
    axes = ce.plot_classes([ce.ClassReport("a", share, share, share, 100, 100) for share in shares]).axes[0]
    axes.figure.canvas.draw()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert len(labels) >= 4
    assert [float(text.rstrip(" %")) for text in labels] == pytest.approx(axes.get_xticks() * 100)


def test_confusion_matrix_shows_each_count_in_its_cell():
    matrix = np.array([[90, 0, 10], [1, 50_000, 1500], [0, 0, 0]])
    axes = ce.plot_confusion(matrix, class_names=["cat", "dog", "frog"]).axes[0]
    # Titles are annotations; the counts are plain text at their column and row.
    counts = {text.get_position()[::-1]: text.get_text() for text in axes.texts if type(text) is Text}
    assert counts == {(0, 0): "90", (0, 2): "10", (1, 0): "1", (1, 1): "50k", (1, 2): "1500"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "frog"]
    assert axes.texts[0].get_text() == "50,090 of 51,601 right, 97.07 %"
    colours = axes.images[0].get_array()
    # More orange where more goes wrong, and nothing in an empty row.
    assert luminance(colours[0, 2, :3]) < luminance(colours[1, 2, :3]) < luminance(colours[0, 1, :3])
    np.testing.assert_allclose(colours[2, 0], to_rgba(ce.THEMES["light"].sequential_second[0]), atol=0.01)
    many = ce.plot_confusion(np.eye(30, dtype=int)).axes[0]
    assert many.images[0].get_array().shape == (30, 30, 4)
    assert "1" not in [text.get_text() for text in many.texts]


@pytest.mark.parametrize("theme", ce.THEMES)
def test_counts_of_a_confusion_matrix_have_contrast_on_cells_of_any_colour(theme):
    # Shares from 0 to 1 in twenty steps, right and wrong ones.
    shares = np.arange(0, 100, 5)
    matrix = np.diag(shares) + np.roll(np.diag(100 - shares), 1, axis=1)
    (axes,) = ce.plot_confusion(matrix, theme=theme).axes
    counts = [text for text in axes.texts if type(text) is Text]
    assert len(counts) == np.count_nonzero(matrix)
    for text in counts:
        column, row = text.get_position()
        assert contrast(text.get_color(), axes.images[0].get_array()[row, column, :3]) >= 4.5


def test_class_marks_stand_at_their_values():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [5, 0, 0]])
    axes = ce.plot_classes(ce.class_reports(matrix, class_names=["cat", "dog", "frog"])).axes[0]
    precision, recall = (np.ma.getdata(marks.get_offsets()) for marks in axes.collections[-2:])
    np.testing.assert_allclose(precision[:2], [[8 / 14, 0], [9 / 11, 1]])
    np.testing.assert_allclose(recall, [[0.8, 0], [0.9, 1], [0, 2]])
    shown = [text.get_text() for text in axes.texts]
    assert {"57.1 %", "81.8 %", "-", "80.0 %", "90.0 %", "0.0 %"} <= set(shown)
    assert axes.get_xlim()[0] <= 0 < 1 <= axes.get_xlim()[1]


def test_reliability_states_both_errors_and_the_images():
    curve = ce.reliability_curve(*case(4))
    better = ce.reliability_curve(np.full((10, 2), 0.5), [0, 1] * 5)
    figure = ce.plot_reliability(curve, calibrated=better)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        f"before calibration: calibration error {100 * curve.calibration_error:.1f} %",
        "after calibration: calibration error 0.0 %",
    ]
    (axes,) = figure.axes
    assert "from 10 to 20" in axes.texts[1].get_text()
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), np.c_[curve.confidences, curve.accuracies])
    corner = axes.get_xlim()[0], axes.get_ylim()[0]
    for marks, points in zip(axes.collections, (curve, better), strict=True):
        np.testing.assert_array_equal(marks.get_offsets(), np.c_[points.confidences, points.accuracies])
        np.testing.assert_allclose(marks.get_sizes(), 50 * points.counts / 20)
        assert (marks.get_offsets() >= corner).all()


def test_marks_of_maps_are_filled_only_where_they_beat_chance():
    rows = faithfulness_rows("conv")
    axes = ce.plot_faithfulness(rows).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["conv  8 x 8", "gradcam", "hirescam", "layercam"]
    marks = {labels[int(line.get_ydata()[0])]: line for line in axes.lines[:-1]}
    surface, good = ce.THEMES["light"].surface, ce.THEMES["light"].accent
    filled = {"gradcam": good, "hirescam": surface, "layercam": surface}
    assert {name: line.get_markerfacecolor() for name, line in marks.items()} == filled
    advantage, error = rows[1].advantage_over(rows[0])
    assert marks["gradcam"].get_xdata()[0] == advantage
    (bar,) = axes.collections[0].get_segments()
    np.testing.assert_allclose(bar[:, 0], [advantage - 2 * error, advantage + 2 * error])
    # One image proves nothing, however well it does.
    single = [ce.Faithfulness(name, "conv", (2, 2), np.array([len(name)])) for name in (ce.RANDOM, "gradcam")]
    assert ce.plot_faithfulness(single).axes[0].lines[0].get_markerfacecolor() == surface


@pytest.mark.parametrize(
    ("layers", "size"), [(1, (32, 32)), (3, (32, 32)), (3, (224, 160)), (2, (8, 40)), (12, (32, 32))]
)
@pytest.mark.parametrize("pairs", [True, False])
def test_errors_show_each_image_and_its_maps_in_a_row(layers, size, pairs):
    (errors, photos), maps = error_arguments(layers=layers, size=size, classes=20)
    figure = ce.plot_errors(errors, photos, **maps | ({} if pairs else {"true_maps": None}), opacity=0.7)
    drawn(figure)
    assert figure.get_figwidth() <= 9
    rows = np.array([axes for axes in figure.axes if axes.images]).reshape(3, -1)
    heats = np.stack([maps["maps"], maps["true_maps"]][: 1 + pairs], axis=2)
    for number, (first, *others) in enumerate(rows):
        np.testing.assert_array_equal(first.images[0].get_array(), photos[number])
        for axes, heat in zip(others, heats[number].reshape(-1, *size), strict=True):
            shown = axes.images[0].get_array()
            scale = len(shown) // size[0]
            np.testing.assert_array_equal(shown, ce.overlay(photos[number], heat, opacity=0.7, scale=scale))
    # From left to right, rows below each other, nothing overlapping or out of shape.
    boxes = np.array([[axes.get_window_extent().extents for axes in row] for row in rows])
    left, bottom, right, top = boxes.transpose(2, 0, 1)
    assert (right[:, :-1] < left[:, 1:]).all()
    assert (bottom[:-1] > top[1:]).all()
    assert np.ptp(top - bottom) <= 2
    np.testing.assert_allclose((right - left) / (top - bottom), size[1] / size[0], rtol=0.01)
    assert right.max() <= figure.bbox.x1
    assert_separate(figure)


def test_errors_without_maps_show_five_images_a_row_with_both_classes():
    (errors, photos), _ = error_arguments(count=7)
    figure = ce.plot_errors(errors, photos, theme="dark")
    drawn(figure)
    for number, axes in enumerate(figure.axes):
        np.testing.assert_array_equal(axes.images[0].get_array(), photos[number])
        assert axes.get_subplotspec().rowspan.start == number // 5
        assert [text.get_text() for text in axes.texts] == [
            f"predicted, {errors.confidences[number] * 100:.1f} %",
            CIFAR[errors.predictions[number]],
            f"true, {100 * (errors.confidences[number] - errors.margins[number]):.1f} %",
            CIFAR[errors.labels[number]],
        ]
    assert_separate(figure)
    images = [axes.get_window_extent() for axes in figure.axes]
    assert not any(box.overlaps(image) for _, box in text_boxes(figure) for image in images)
