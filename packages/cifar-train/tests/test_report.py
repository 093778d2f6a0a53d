"""The report and the gallery of a run."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

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


def text_of(run):
    """The page's words, without settings and images."""
    page = re.sub(r"<(pre|style).*?</\1>|<[^>]+>", " ", page_of(run), flags=re.DOTALL)
    return " ".join(page.replace("\N{NO-BREAK SPACE}", " ").split())


def summary_of(run):
    return json.loads((run / "report" / "summary.json").read_text())


def test_page_needs_nothing_beside_it(trained_run):
    page = page_of(trained_run)
    links = re.findall(r'(?:src|srcset|href|action)="(?!data:image/png;base64,|#)([^"]*)"', page)
    assert links == []
    assert not re.search(r"url\(|@import|<(script|link|iframe|object)", page)
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


@pytest.mark.parametrize(("theme", "suffix"), [("light", ""), ("dark", "-dark")])
def test_every_figure_is_there_for_both_themes(trained_run, theme, suffix):
    for name in FIGURES:
        with Image.open(trained_run / "report" / "figures" / f"{name}{suffix}.png") as picture:
            # The preview is as wide as the run is long.
            assert picture.width > (300 if name == "augmentation" else 1000)
            assert picture.convert("RGB").getpixel((0, 0)) == ImageColor.getrgb(THEMES[theme].surface)


def test_summary_agrees_with_the_gallery(trained_run):
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
    assert recalls == pytest.approx(np.diag(matrix) / matrix.sum(1))


def test_page_shows_the_numbers_settings_and_calibrated_probabilities(trained_run):
    page, text, analysis = page_of(trained_run), text_of(trained_run), summary_of(trained_run)["analysis"]
    assert f"{100 * analysis['test_accuracy']:.2f} % of 2,000 test images" in text
    assert f"{100 * analysis['test_accuracy_flip']:.2f} %" in text
    shown = min(10, analysis["test_errors"])
    assert page.count('<article class="card">') == shown
    # Each error's card has a map of each of three layers for two classes.
    assert page.count('class="heat"') == 6 * shown
    assert "max_epochs: 2" in page
    # The learning rate is said once, as `model.lr`.
    assert re.findall(r"^ *lr: .*", page, re.MULTILINE) == ["  lr: 0.085"]
    assert "trained on images of 24x24 pixels in the first 60 % of the steps (1.2 epochs)" in text
    changed = text.partition("Changed from recipe fast")[2].partition("All settings")[0]
    assert "model.arguments.widths [8, 8, 8] [32, 128, 128]" in changed
    assert "trainer.max_epochs 2 7" in changed
    assert "model.lr" not in changed

    gallery = read_gallery(trained_run / "gallery")
    temperature = load_weights(trained_run / "model.safetensors").metrics["familiarity"]["temperature"]
    powers = gallery.probabilities.astype(float) ** (1 / temperature)
    calibrated = (powers / powers.sum(1, keepdims=True)).max(1)[gallery.errors.indices].max()
    cards = re.findall(r"<p>[a-z]+ ([\d.]+)\N{NO-BREAK SPACE}% · ", page)
    assert float(cards[0]) == pytest.approx(100 * calibrated, abs=0.06)


@pytest.mark.usefixtures("quick_report")
def test_interrupted_run_gets_weights_and_report(copied_run, succeed):
    before = summary_of(copied_run)
    (copied_run / "report" / "index.html").unlink()
    (copied_run / "model.safetensors").unlink()
    out, _ = succeed("report", str(copied_run))
    assert load_weights(copied_run / "model.safetensors").metrics["familiarity"]["images"] == 100
    assert str(copied_run / "report" / "index.html") in out
    assert out.endswith(f"uv run cifar-space --run {copied_run}\n")
    after = summary_of(copied_run)
    for analysis in (before["analysis"], after["analysis"]):
        del analysis["faithfulness"]  # of fewer images
    assert after == before


@pytest.mark.usefixtures("quick_report")
def test_report_of_an_untested_run_names_the_machine_of_the_training(succeed, small, tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_train.cli.lightning_cli.quickest_precision", lambda _: "bf16-mixed")
    monkeypatch.setattr("cifar_train.runs.hardware._processor", lambda: "the first processor")
    succeed("fit", *small, "--trainer.precision=32-true")
    trained_on = describe_environment()
    monkeypatch.setattr("cifar_train.runs.hardware._processor", lambda: "another one")
    run = tmp_path / "runs" / "latest"
    assert not (run / "report").exists()
    succeed("report")
    assert summary_of(run)["environment"] == {**trained_on, "precision": "32-true"}
    assert summary_of(run)["wall_seconds"] is None
    for text in (page_of(run), (run / "model_card.md").read_text()):
        assert "the first processor" in text
        assert "another one" not in text
    assert "None" not in text_of(run)
    # As earlier versions wrote it.
    (run / "report" / "summary.json").unlink()
    content = read_checkpoint(run / "checkpoints" / "best.ckpt")
    del content[CHECKPOINT_KEY]["environment"]
    torch.save(content, run / "checkpoints" / "best.ckpt")
    succeed("report")
    assert summary_of(run)["environment"] == {}


@pytest.mark.parametrize("arguments", [["{0}"], ["--weights={0}/model.safetensors", "--out={0}/gallery"]])
def test_gallery_of_a_run_or_of_any_weights_file(copied_run, succeed, arguments):
    folder = copied_run / "gallery"
    before = read_gallery(folder)
    shutil.rmtree(folder)
    out, _ = succeed("gallery", *[a.format(copied_run) for a in arguments], "--data.source=synthetic")
    made = read_gallery(folder)
    np.testing.assert_allclose(made.probabilities, before.probabilities, atol=1e-5)
    assert made.weights_sha256 == before.weights_sha256
    assert out.startswith(f"{folder}  {len(made.errors):,} errors of 2,000 test images")


@pytest.mark.usefixtures("quick_report")
def test_votes_of_people_are_in_summary_gallery_and_page(copied_run, succeed):
    labels = read_gallery(copied_run / "gallery").labels
    np.save("counts.npy", 1.0 + 40 * np.eye(10)[labels])
    succeed("report", str(copied_run), "--human.counts=counts.npy")
    analysis = summary_of(copied_run)["analysis"]
    assert [*analysis["people"].values()] == [0, 0, analysis["test_errors"]]
    human = read_gallery(copied_run / "gallery").human
    np.testing.assert_allclose(human.votes.max(axis=1), 41 / 50)
    assert "82 %" in page_of(copied_run)


def test_wrong_counts_are_rejected_before_the_training(refuse, small):
    np.save("counts.npy", np.ones((3, 10)))
    err = refuse(*small, "--human.counts=counts.npy")
    assert "counts.npy must be" in err
    assert "epoch 1/" not in err


@pytest.mark.parametrize("option", ["counts=counts.npy", "rechecks=rechecks"])
def test_answers_in_another_order_are_rejected(copied_run, refuse, option):
    others = (read_gallery(copied_run / "gallery").labels + 1) % 10
    votes = {"given": 5, "guessed": 0, "neither": 0, "both": 0}
    entry = {"id": 0, "given_original_label": int(others[0]), "our_guessed_label": 0, "mturk": votes}
    Path("rechecks").write_text(json.dumps([entry]))
    np.save("counts.npy", np.eye(10)[others])
    assert "another order" in refuse("report", str(copied_run), f"--human.{option}")


def test_missing_files_and_other_data_are_named(copied_run, refuse, monkeypatch):
    run = str(copied_run)
    assert "x.npy: No such file" in refuse("report", run, "--human.counts=x.npy")
    monkeypatch.setattr(CIFAR10DataModule, "fingerprint", "f" * 64)
    assert "has ffffffffffff..." in refuse("report", run)
    (copied_run / "model.safetensors").unlink()
    shutil.rmtree(copied_run / "checkpoints")
    assert "no checkpoint" in refuse("report", run)


@pytest.mark.usefixtures("quick_report")
def test_run_without_validation_trains_on_all_images_and_gets_a_report(succeed, small, tmp_path):
    all_images = ["--data.val_size=0", "--data.train_limit=null", "--trainer.limit_train_batches=2"]
    out, _ = succeed(*small, *all_images, "--trainer.max_epochs=1")
    run = tmp_path / "runs" / "latest"
    assert summary_of(run)["data"]["train"] == 10_000
    assert "familiarity" not in load_weights(run / "model.safetensors").metrics
    assert "validation" not in out
    assert not re.search("temperature|Validation accuracy", text_of(run))


def test_model_without_errors_gets_a_report(copied_run, monkeypatch, shared_folder):
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(shared_folder / "cache"))
    monkeypatch.setattr("cifar_train.report.analysis.TESTED_IMAGES", 2)
    run = RunDirectory(copied_run)
    datamodule = CIFAR10DataModule(source="synthetic", train_limit=200, val_size=100, batch_size=50)
    dataset = datamodule.dataset
    test = dataclasses.replace(dataset.test, labels=read_gallery(run.gallery).probabilities.argmax(1))
    datamodule.dataset = dataclasses.replace(dataset, test=test)
    write_results(run, datamodule, people=None, summary=read_summary(run.summary))
    assert "0 of 2,000 test images are misclassified." in page_of(copied_run)
    assert len(read_gallery(run.gallery).errors) == 0
