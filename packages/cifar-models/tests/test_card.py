"""Model cards: what the Hub reads, and any text shown as it is."""

import json
import re
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cifar_models import CIFAR10, WeightsHeader, model_card

hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")

METRICS = {"test_accuracy": 0.81237, "test_accuracy_flip": 0.82341, "note": "```\n---\n# <script>"}
HOSTILE = (
    *("a|b", "---", "```", "# heading", "<script>alert(1)</script>", "[link](http://x)", "&amp;"),
    *("{{ 7 * 7 }}", "back\\slash|", "*bold* _it_ `code`", "a@b.c http://d :smile:", "猫 Vögel"),
)


def header(*, classes=CIFAR10.classes, recipe="own", **metrics):
    spec = replace(CIFAR10, classes=classes)
    return WeightsHeader("resnet9", {}, spec, {"recipe": recipe}, {**METRICS, **metrics}, "float16", 1)


def parts(card):
    _, front, body = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(front), body


def tables(body):
    """The rows of all tables as a reader sees them: split at unescaped bars, without escapes."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in body.splitlines() if line.startswith("|")]
    return [[re.sub(r"\\([^a-zA-Z0-9\s])", r"\1", cell).strip() for cell in row] for row in rows]


def test_the_hub_reads_the_front_matter():
    written = model_card(header(), dataset="cifar10")
    card = hub.ModelCard(written)
    assert (card.data.model_name, card.data.library_name) == ("own (resnet9)", "cifar-models")
    results = [(one.dataset_type, one.dataset_split, one.metric_value) for one in card.data.eval_results]
    assert results == [("uoft-cs/cifar10", "test", 0.81237), ("uoft-cs/cifar10", "test", 0.82341)]
    assert card.text.strip() == parts(written)[1].strip()


@pytest.mark.parametrize(
    ("dataset", "license", "kind"),
    [("cifar10", "mit", "uoft-cs/cifar10"), ("synthetic", "mit", "synthetic"), ("own", None, "imagefolder")],
)
def test_licence_and_data_depend_on_the_dataset(dataset, license, kind):
    front, body = parts(model_card(header(), dataset=dataset))
    assert front.get("license") == license
    assert front.get("datasets") == (["uoft-cs/cifar10"] if dataset == "cifar10" else None)
    assert front["model-index"][0]["results"][0]["dataset"]["type"] == kind
    assert ("Krizhevsky" in body) == (dataset == "cifar10")


def test_a_card_without_further_facts_shows_the_stored_header():
    front, body = parts(model_card(header(), repo_id="user/name", parameters=6_573_130))
    assert front.keys() == {"library_name", "pipeline_tag", "tags"}
    assert "# name\n" in body
    assert 'from_pretrained("user/name")' in body
    assert "6,573,130 parameters" in body
    assert "Licence" not in body
    block = [line[4:] for line in body.splitlines() if line.startswith("    ")]
    assert json.loads("\n".join(block))["metrics"] == METRICS
    # The note neither closes the front matter nor opens a fence, a heading or HTML of its own.
    assert [line for line in body.splitlines() if line.startswith(("---", "```"))] == ["```python", "```"]
    assert all(line.startswith("    ") for line in body.splitlines() if "<script>" in line)


@pytest.mark.parametrize("stored", ["yes", {}, {"temperature": 1.0}, None])
def test_thresholds_of_another_shape_are_left_out(stored):
    assert "## Confidence" not in model_card(header(familiarity=stored), training=())


def test_hostile_names_break_neither_front_matter_nor_body():
    classes = [{"name": name, "recall": 0.5, "precision": 0.5} for name in HOSTILE]
    card = model_card(
        header(classes=HOSTILE, recipe="x: [\n---\n# y"),
        dataset="cifar10",
        training=[("setting", name) for name in HOSTILE],
        analysis={"classes": classes, "most_confused": [{"true": "|", "predicted": "<", "count": 3}]},
    )
    front, body = parts(card)
    assert front["model-index"][0]["name"] == "x: [ --- # y (resnet9)"
    assert [row[0] for row in tables(body) if len(row) == 3][2:] == list(HOSTILE)
    assert [row[1] for row in tables(body) if row[0] == "setting"][1:] == list(HOSTILE)
    assert re.findall(r"^## (.*)", body, re.MULTILINE) == [
        "Use", "Results", "Training", "Data", "Limits", "Intended use", "Licence",
    ]  # fmt: skip
    assert len(re.findall(r"^```", body, re.MULTILINE)) == 4
    assert not re.search(r"(?<!\\)<", body)


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=12))
def test_any_text_is_shown_as_it_is(text):
    markdown = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    parser = markdown.MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(parts(model_card(header(), training=[(text, "end")]))[1])
    shown = ["".join(one.content for one in token.children) for token in tokens if token.type == "inline"]
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert shown[shown.index("end") - 1] == one_line
