"""Requests and their limits, without a model; the public names, and Gradio's room."""

from pathlib import Path

import pytest

import cifar_space.server
import cifar_space.ui.server
from cifar_models import CIFAR10
from cifar_space import Limits, Options, RequestError, check_options

LAYERS = ("stem", "layer1", "layer2")


def check(options, classes=CIFAR10.classes):
    return check_options(options, classes=classes, layers=LAYERS, limits=Limits(pictures=16))


def test_layers_come_in_the_order_asked_for():
    assert check(Options(layers=["layer2", "stem"])) == ("layer2", "stem")
    assert check(Options(explained=16, target="cat")) == LAYERS
    # Without maps their options are not checked.
    assert check(Options(explain=False, layers=[], method="none", target="none")) == ()


@pytest.mark.parametrize(("classes", "most"), [(2, 2), (10, 10), (11, 10), (100, 10)])
def test_no_more_than_ten_classes_are_named(classes, most):
    names = tuple(f"kind {number}" for number in range(classes))
    assert check(Options(top=1), names) == check(Options(top=most), names) == LAYERS
    with pytest.raises(RequestError, match=f"top must be a whole number from 1 to {most}, got {most + 1}"):
        check(Options(top=most + 1), names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *((Options(top=value), "top must be a whole number from 1 to 10, got") for value in (0, -1, True)),
        *((Options(top=value), "got") for value in (2.5, float("nan"), float("inf"), "3", None)),
        *((Options(explained=value), "explained must be .* 1 to 16") for value in (0, 17, 1.5)),
        (Options(explain="yes"), "explain must be true or false"),
        (Options(method="gradcan"), "did you mean 'gradcam'"),
        (Options(target="cats"), "did you mean 'cat'"),
        (Options(target=3), "target has the unknown name 3"),
        (Options(layers=["layr1"]), "did you mean 'layer1'"),
        (Options(layers=[]), "layers is empty"),
        (Options(layers=["stem", "stem"]), "each layer once"),
        (Options(layers=[["stem"]]), "unknown name"),
    ],
)
def test_invalid_options_are_named(options, message):
    with pytest.raises(RequestError, match=message):
        check(options)


@pytest.mark.parametrize("value", [0, float("nan")])
@pytest.mark.parametrize("name", ["pictures", "file_bytes", "pixels", "seconds"])
def test_limits_are_positive(name, value):
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


def test_only_the_user_interface_imports_gradio():
    sources = (Path(__file__).parents[1] / "src").rglob("*.py")
    assert {path.parent.name for path in sources if "import gradio" in path.read_text("utf-8")} == {"ui"}


def test_every_public_name_is_there():
    # Former names.
    assert cifar_space.Refusal is cifar_space.RejectedFile
    assert cifar_space.server.start is cifar_space.ui.server.start
    for name in cifar_space.__all__:
        assert getattr(cifar_space, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        cifar_space.nothing  # noqa: B018
