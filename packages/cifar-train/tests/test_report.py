"""The report and the gallery of a run."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_data import CIFAR10DataModule
from cifar_explain import THEMES, read_gallery
from cifar_models import load_weights
from cifar_train.report.report import write_results
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, read_checkpoint
from cifar_train.runs.directory import RunDirectory
from cifar_train.runs.hardware import describe_environment
from cifar_train.runs.summary import read_summary

FIGURES = ("curves", "misclassified", "confusion", "classes", "reliability", "faithfulness", "augmentation")


def page_of(run):
    return (run / "report" / "index.html").read_text()


def test_page_needs_nothing_beside_it(trained_run):
    page = page_of(trained_run)
    links = re.findall(r'(?:src|srcset|href|action)="([^"]*)"', page)
    assert [link[:30] for link in links if not link.startswith(("data:image/png;base64,", "#"))] == []
    assert not re.search(r"url\(|@import|<(script|link|iframe|object)", page)
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_every_figure_is_there_for_both_themes(trained_run):
    for name in FIGURES:
        for path, theme in zip((f"{name}.png", f"{name}-dark.png"), THEMES, strict=True):
            with Image.open(trained_run / "report" / "figures" / path) as picture:
                # The preview is as wide as the run is long.
                assert picture.width > (300 if name == "augmentation" else 1000)
                surface = picture.convert("RGB").getpixel((0, 0))
            assert "#{:02x}{:02x}{:02x}".format(*surface) == THEMES[theme].surface


def test_summary_agrees_with_the_gallery(trained_run, summary_of):
    summary = summary_of(trained_run)
    weights = load_weights(trained_run / "model.safetensors")
    gallery = read_gallery(trained_run / "gallery", weights_sha256=weights.sha256)
    predictions = gallery.probabilities.argmax(1)
    analysis, metrics = summary["analysis"], summary["metrics"]
    assert analysis["test_errors"] == int((predictions != gallery.labels).sum()) == len(gallery.errors)
    # The report and the trainer use other batch sizes; a near tie may fall either way.
    for name in ("test_accuracy", "test_accuracy_flip"):
        assert analysis[name] == pytest.approx(metrics[name], abs=1.5 / len(gallery.labels))
    assert analysis["test_loss"] == pytest.approx(metrics["test_loss"], rel=1e-4)
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (gallery.labels, predictions), 1)
    assert analysis["confusion_matrix"] == matrix.tolist()
    recalls = [entry["recall"] for entry in analysis["classes"]]
    np.testing.assert_allclose(recalls, np.diag(matrix) / matrix.sum(1))


def test_page_shows_the_numbers(trained_run, summary_of):
    page = page_of(trained_run)
    analysis = summary_of(trained_run)["analysis"]
    images = sum(map(sum, analysis["confusion_matrix"]))
    assert f"{100 * analysis['test_accuracy']:.2f}\N{NO-BREAK SPACE}% of {images:,} test images" in page
    assert f"{100 * analysis['test_accuracy_flip']:.2f}\N{NO-BREAK SPACE}%" in page
    shown = min(10, analysis["test_errors"])
    assert page.count('<article class="card">') == shown
    # Each error's card has a map of each of three layers for two classes.
    assert page.count('class="heat"') == 6 * shown
    assert "max_epochs: 2" in page
    # The learning rate is said once, as `model.lr`.
    assert re.findall(r"^ *lr: .*", page, re.MULTILINE) == ["  lr: 0.085"]


def test_page_explains_resizing_and_names_the_settings_that_differ_from_the_recipe(trained_run):
    text = " ".join(re.sub(r"<[^>]+>", " ", page_of(trained_run)).split())
    assert "trained on images of 24x24 pixels in the first 60 % of the steps (1.2 epochs)" in text
    changed = text.partition("Changed from recipe fast")[2].partition("All settings")[0]
    assert "model.arguments.widths [8, 8, 8] [32, 128, 128]" in changed
    assert "trainer.max_epochs 2 7" in changed
    assert "model.lr" not in changed


def test_cards_show_calibrated_probabilities(trained_run):
    gallery = read_gallery(trained_run / "gallery")
    temperature = load_weights(trained_run / "model.safetensors").metrics["familiarity"]["temperature"]
    powers = gallery.probabilities.astype(float) ** (1 / temperature)
    calibrated = (powers / powers.sum(1, keepdims=True)).max(1)[gallery.errors.indices].max()
    shown = re.findall(r"<p>[a-z]+ ([\d.]+)\N{NO-BREAK SPACE}% · ", page_of(trained_run))
    assert float(shown[0]) == pytest.approx(100 * calibrated, abs=0.06)


@pytest.mark.usefixtures("quick_report")
def test_interrupted_run_gets_weights_and_report(copied_run, succeed, summary_of):
    before = summary_of(copied_run)
    (copied_run / "report" / "index.html").unlink()
    (copied_run / "model.safetensors").unlink()
    out, _ = succeed("report", str(copied_run))
    assert load_weights(copied_run / "model.safetensors").metrics["familiarity"]["images"] == 100
    assert str(copied_run / "report" / "index.html") in out
    after = summary_of(copied_run)
    for analysis in (before["analysis"], after["analysis"]):
        del analysis["faithfulness"]  # of fewer images
    assert after["analysis"] == before["analysis"]
    assert after["wall_seconds"] == before["wall_seconds"]


@pytest.mark.usefixtures("quick_report")
def test_run_without_a_test_gets_a_report_that_names_the_machine_of_the_training(
    succeed, small, tmp_path, monkeypatch, summary_of
):
    monkeypatch.setattr("cifar_train.runs.hardware._processor", lambda: "the training's processor")
    succeed("fit", *small, "--trainer.precision=32-true")
    trained_on = describe_environment()
    monkeypatch.setattr("cifar_train.runs.hardware._processor", lambda: "another one")
    run = tmp_path / "runs" / "latest"
    assert not (run / "report").exists()
    succeed("report")
    summary = summary_of(run)
    assert summary["environment"] == {**trained_on, "precision": "32-true"}
    assert summary["wall_seconds"] is None
    assert summary["analysis"]["test_errors"] >= 0
    for text in (page_of(run), (run / "model_card.md").read_text()):
        assert "the training&#39;s processor" in text.replace("'", "&#39;")
        assert "another one" not in text
    assert "None" not in re.sub(r"<pre.*?</pre>|data:image[^\"]*", "", page_of(run), flags=re.DOTALL)


@pytest.mark.usefixtures("quick_report")
def test_machine_that_the_checkpoint_does_not_name_is_left_out(copied_run, succeed, summary_of):
    (copied_run / "report" / "summary.json").unlink()
    for path in (copied_run / "checkpoints").iterdir():
        content = read_checkpoint(path)
        # As earlier versions wrote it.
        del content[CHECKPOINT_KEY]["environment"]
        torch.save(content, path)
    succeed("report", str(copied_run))
    assert summary_of(copied_run)["environment"] == {}
    assert "Machine and versions" not in page_of(copied_run)
    assert "| machine |" not in (copied_run / "model_card.md").read_text()


def test_test_with_record_writes_the_metrics_into_the_header(copied_run, succeed, tmp_path):
    half = str(tmp_path / "half.safetensors")
    succeed("export", "--run", str(copied_run), "--out", half)
    exported = load_weights(half)
    out, _ = succeed("test", "--weights", half, "--record", "--data.source=synthetic")
    recorded = load_weights(half)
    assert recorded.dtype == "float16"
    assert recorded.sha256 != exported.sha256
    assert f"{100 * recorded.metrics['test_accuracy']:.2f} %" in out
    assert recorded.metrics["familiarity"] == exported.metrics["familiarity"]
    for mine, theirs in zip(recorded.model.parameters(), exported.model.parameters(), strict=True):
        assert (mine == theirs).all()


def test_finished_run_is_not_tested_again(copied_run, cifar_train, summary_of):
    before = summary_of(copied_run)
    code, _, err = cifar_train("--ckpt_path", str(copied_run / "checkpoints" / "last.ckpt"))
    assert code == 2
    assert "the run is finished" in err
    assert summary_of(copied_run) == before


def test_gallery_of_any_weights_file(trained_run, cifar_train, tmp_path):
    code, out, err = cifar_train(
        "gallery", "--weights", str(trained_run / "model.safetensors"), "--out", "there", "--data.source=synthetic"
    )  # fmt: skip
    assert code == 0, err
    made = read_gallery(tmp_path / "there")
    kept = read_gallery(trained_run / "gallery")
    np.testing.assert_allclose(made.probabilities, kept.probabilities, atol=1e-5)
    assert made.weights_sha256 == kept.weights_sha256
    assert f"{len(made.errors):,} errors" in out


@pytest.mark.usefixtures("quick_report")
def test_votes_of_people_are_in_summary_gallery_and_page(copied_run, succeed, tmp_path, summary_of):
    labels = read_gallery(copied_run / "gallery").labels
    counts = np.full((len(labels), 10), 1.0)
    counts[np.arange(len(labels)), labels] = 41
    np.save(tmp_path / "counts.npy", counts)
    succeed("report", str(copied_run), "--human.counts", str(tmp_path / "counts.npy"))
    analysis = summary_of(copied_run)["analysis"]
    assert analysis["people"] == {
        "label doubtful": 0,
        "people disagree too": 0,
        "the model's own": analysis["test_errors"],
    }
    human = read_gallery(copied_run / "gallery").human
    np.testing.assert_allclose(human.votes.max(axis=1), 41 / 50)
    assert "People's answers" in page_of(copied_run)
    assert "82 %" in page_of(copied_run)


@pytest.mark.parametrize("shape", [(3, 10), (1000, 9)])
def test_wrong_counts_are_rejected_before_the_training(cifar_train, small, tmp_path, shape):
    np.save(tmp_path / "counts.npy", np.ones(shape))
    code, _, err = cifar_train(*small, "--human.counts", str(tmp_path / "counts.npy"))
    assert code == 2
    assert "counts.npy must be" in err
    assert "epoch 1/" not in err


@pytest.mark.parametrize("kind", ["counts", "rechecks"])
def test_answers_in_another_order_are_rejected(copied_run, cifar_train, tmp_path, kind):
    labels = read_gallery(copied_run / "gallery").labels
    label, other = int(labels[0]), int(labels[0] + 1) % 10
    entry = {"id": 0, "given_original_label": other, "our_guessed_label": label}
    entry["mturk"] = {"given": 5, "guessed": 0, "neither": 0, "both": 0}
    (tmp_path / "rechecks").write_text(json.dumps([entry]))
    with (tmp_path / "counts").open("wb") as file:
        np.save(file, np.eye(10)[(labels + 1) % 10])
    code, _, err = cifar_train("report", str(copied_run), f"--human.{kind}", str(tmp_path / kind))
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "another order" in err


def one_line(outcome, *words):
    code, _, err = outcome
    assert code == 2, err
    # A progress line of decoding, if there is one, overwrites itself.
    lines = [line for line in err.strip().splitlines() if "image/s]" not in line]
    assert len(lines) == 1, err
    for word in words:
        assert word in err


def test_bad_input_is_answered_in_one_line(copied_run, cifar_train, tmp_path):
    run = str(copied_run)
    (tmp_path / "empty").mkdir()
    one_line(cifar_train("report", "empty"), "config.yaml")
    one_line(cifar_train("report", run, "--human.counts", "x.npy"), "human.counts: there is no file x.npy")
    one_line(cifar_train("report", run, "--human.count", "x.npy"), "did you mean human.counts?")
    one_line(cifar_train("gallery", "--weights", f"{run}/model.safetensors"), "--out is missing")
    (copied_run / "model.safetensors").unlink()
    for name in ("best", "last"):
        (copied_run / "checkpoints" / f"{name}.ckpt").unlink()
    one_line(cifar_train("report", run), "no checkpoint")


def test_other_data_is_rejected(copied_run, cifar_train, monkeypatch):
    monkeypatch.setattr(CIFAR10DataModule, "fingerprint", "f" * 64)
    one_line(cifar_train("report", str(copied_run)), "fingerprint", "f" * 12)


@pytest.mark.usefixtures("quick_report")
def test_run_without_validation_gets_a_report(succeed, small, tmp_path):
    succeed(*small, "--data.val_size=0", "--trainer.max_epochs=1")
    run = tmp_path / "runs" / "latest"
    assert "familiarity" not in load_weights(run / "model.safetensors").metrics
    assert "Validation accuracy" not in page_of(run)
    assert "temperature" not in re.sub(r"<pre.*?</pre>", "", page_of(run), flags=re.DOTALL)


def test_model_without_errors_gets_a_report(copied_run, monkeypatch, shared_folder):
    """The labels of the test set are replaced by the predictions."""
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(shared_folder / "cache"))
    monkeypatch.setattr("cifar_train.report.analysis.TESTED_IMAGES", 2)
    place = RunDirectory(copied_run)
    datamodule = CIFAR10DataModule(source="synthetic", train_limit=200, val_size=100, batch_size=50)
    dataset = datamodule.dataset
    predictions = read_gallery(copied_run / "gallery").probabilities.argmax(1)
    test = dataclasses.replace(dataset.test, labels=predictions)
    datamodule._dataset = dataclasses.replace(dataset, test=test)
    write_results(place, datamodule, people=None, summary=read_summary(place.summary))
    assert f"0 of {len(predictions):,} test images are misclassified." in page_of(copied_run)
    assert len(read_gallery(copied_run / "gallery").errors) == 0
