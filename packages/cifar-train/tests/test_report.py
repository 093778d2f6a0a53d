"""The report and the gallery that a run ends with."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_explain import THEMES, read_gallery
from cifar_models import load_weights
from cifar_train.report.figures import FIGURES
from cifar_train.runs.checkpoint import CHECKPOINT_KEY, read_checkpoint
from cifar_train.runs.environment import describe_environment

# Each report takes some seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory, small_run):
    """A finished run, made once; tests that change it copy it."""
    return small_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run that a test may change."""
    import shutil

    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag in ("script", "link", "iframe", "object")
        self.links += [value for name, value in attrs if name in ("src", "srcset", "href", "action")]


def test_the_page_needs_nothing_beside_it(finished):
    page = (finished / "report" / "index.html").read_text()
    parser = _Links()
    parser.feed(page)
    assert not parser.scripts
    assert [link[:30] for link in parser.links if not link.startswith(("data:image/png;base64,", "#"))] == []
    assert not re.search(r"url\(|@import", page)
    for anchor in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{anchor}"' in page


def test_every_figure_is_there_for_both_themes(finished):
    for name in FIGURES:
        for path, theme in zip((f"{name}.png", f"{name}-dark.png"), THEMES, strict=True):
            with Image.open(finished / "report" / "figures" / path) as picture:
                # The preview is as wide as the run is long.
                assert picture.width > (300 if name == "augmentation" else 1000)
                surface = picture.convert("RGB").getpixel((0, 0))
            assert "#{:02x}{:02x}{:02x}".format(*surface) == THEMES[theme].surface


def test_the_summary_agrees_with_the_gallery(finished):
    summary = json.loads((finished / "report" / "summary.json").read_text())
    weights = load_weights(finished / "model.safetensors")
    gallery = read_gallery(finished / "gallery", weights_sha256=weights.sha256)
    predictions = gallery.probabilities.argmax(1)
    analysis = summary["analysis"]
    assert analysis["test_errors"] == int((predictions != gallery.labels).sum()) == len(gallery.errors)
    assert analysis["test_accuracy"] == pytest.approx(summary["metrics"]["test_accuracy"], abs=1e-6)
    assert analysis["test_accuracy_flip"] == pytest.approx(summary["metrics"]["test_accuracy_flip"], abs=1e-6)
    assert analysis["test_loss"] == pytest.approx(summary["metrics"]["test_loss"], rel=1e-4)
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (gallery.labels, predictions), 1)
    assert analysis["confusion_matrix"] == matrix.tolist()
    recalls = [entry["recall"] for entry in analysis["classes"]]
    np.testing.assert_allclose(recalls, np.diag(matrix) / matrix.sum(1))


def test_the_weights_know_what_is_unfamiliar(finished):
    familiarity = load_weights(finished / "model.safetensors").metrics["familiarity"]
    assert familiarity["images"] == 100
    assert 0 <= familiarity["false_alarm_rate"] <= 0.05


def test_the_page_says_the_numbers(finished):
    page = (finished / "report" / "index.html").read_text()
    analysis = json.loads((finished / "report" / "summary.json").read_text())["analysis"]
    images = sum(map(sum, analysis["confusion_matrix"]))
    assert f"{100 * analysis['test_accuracy']:.2f} % of {images:,} test images" in page
    assert f"{100 * analysis['test_accuracy_flip']:.2f} %" in page
    shown = min(10, analysis["test_errors"])
    assert page.count('<article class="card">') == shown
    # Each error's card has a map of each of three layers for two classes.
    assert page.count('class="heat"') == 6 * shown
    assert "max_epochs: 2" in page


def test_a_report_is_written_again(run, cifar_train):
    before = json.loads((run / "report" / "summary.json").read_text())
    (run / "report" / "index.html").unlink()
    # As after a run that was cut short: there is a checkpoint only.
    (run / "model.safetensors").unlink()
    code, out, _ = cifar_train("report", str(run))
    assert code == 0
    assert load_weights(run / "model.safetensors").metrics["familiarity"]["images"] == 100
    assert str(run / "report" / "index.html") in out
    after = json.loads((run / "report" / "summary.json").read_text())
    assert after["analysis"] == before["analysis"]
    assert after["wall_seconds"] == before["wall_seconds"]


def test_a_run_that_was_only_trained_gets_a_report(cifar_train, small, tmp_path):
    assert cifar_train("fit", *small)[0] == 0
    assert not (tmp_path / "runs" / "latest" / "report").exists()
    code, _, err = cifar_train("report")
    assert code == 0, err
    summary = json.loads((tmp_path / "runs" / "latest" / "report" / "summary.json").read_text())
    assert summary["wall_seconds"] is None
    assert summary["analysis"]["test_errors"] >= 0
    words = re.sub(
        r"<pre.*?</pre>|data:image[^\"]*", "", _page(tmp_path / "runs" / "latest"), flags=re.DOTALL
    )
    assert "None" not in words


def test_a_report_made_elsewhere_names_the_machine_of_the_training(cifar_train, small, tmp_path, monkeypatch):
    monkeypatch.setattr("cifar_train.runs.environment._processor", lambda: "the one it was trained on")
    assert cifar_train("fit", *small, "--trainer.precision=32-true")[0] == 0
    trained_on = describe_environment()
    monkeypatch.setattr("cifar_train.runs.environment._processor", lambda: "another one")
    code, _, err = cifar_train("report")
    assert code == 0, err
    run = tmp_path / "runs" / "latest"
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["environment"] == {**trained_on, "precision": "32-true"}
    for text in (_page(run), (run / "model_card.md").read_text()):
        assert "the one it was trained on" in text
        assert "another one" not in text


def test_a_machine_that_the_checkpoint_does_not_name_is_left_out(cifar_train, small, tmp_path):
    assert cifar_train("fit", *small)[0] == 0
    run = tmp_path / "runs" / "latest"
    for path in (run / "checkpoints").iterdir():
        content = read_checkpoint(path)
        # As earlier versions wrote it.
        del content[CHECKPOINT_KEY]["environment"]
        torch.save(content, path)
    code, _, err = cifar_train("report")
    assert code == 0, err
    assert json.loads((run / "report" / "summary.json").read_text())["environment"] == {}
    assert "Machine and versions" not in _page(run)
    assert "| machine |" not in (run / "model_card.md").read_text()


def _page(run):
    return (run / "report" / "index.html").read_text()


def test_no_report_where_none_is_wanted(cifar_train, small, tmp_path):
    code, out, _ = cifar_train(*small, "--report=false")
    assert code == 0
    assert "test accuracy" in out
    assert not (tmp_path / "runs" / "latest" / "gallery").exists()


def test_what_is_measured_is_recorded(run, cifar_train, tmp_path):
    half = str(tmp_path / "half.safetensors")
    assert cifar_train("export", "--run", str(run), "--out", half)[0] == 0
    exported = load_weights(half)
    code, out, err = cifar_train("test", "--weights", half, "--record", "--data.source=synthetic")
    assert code == 0, err
    recorded = load_weights(half)
    assert recorded.dtype == "float16"
    assert recorded.sha256 != exported.sha256
    assert f"{100 * recorded.metrics['test_accuracy']:.2f} %" in out
    assert recorded.metrics["familiarity"] == exported.metrics["familiarity"]
    for mine, theirs in zip(recorded.model.parameters(), exported.model.parameters(), strict=True):
        assert (mine == theirs).all()


def test_a_finished_run_is_not_tested_again(run, cifar_train):
    before = (run / "report" / "summary.json").read_text()
    code, _, err = cifar_train("--ckpt_path", str(run / "checkpoints" / "last.ckpt"))
    assert code == 2
    assert "the run is finished" in err
    assert (run / "report" / "summary.json").read_text() == before


def test_a_gallery_of_any_weights_file(run, cifar_train, tmp_path):
    code, out, err = cifar_train(
        "gallery", "--weights", str(run / "model.safetensors"), "--out", "there", "--data.source=synthetic"
    )
    assert code == 0, err
    made = read_gallery(tmp_path / "there")
    kept = read_gallery(run / "gallery")
    np.testing.assert_array_equal(made.probabilities, kept.probabilities)
    assert made.weights_sha256 == kept.weights_sha256
    assert f"{len(made.errors):,} errors" in out


def test_people_are_asked(run, cifar_train, tmp_path):
    labels = read_gallery(run / "gallery").labels
    counts = np.full((len(labels), 10), 1.0)
    counts[np.arange(len(labels)), labels] = 41
    np.save(tmp_path / "counts.npy", counts)
    code, _, err = cifar_train("report", str(run), "--human.counts", str(tmp_path / "counts.npy"))
    assert code == 0, err
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert summary["analysis"]["people"] == {
        "label doubtful": 0,
        "people disagree too": 0,
        "the model's own": summary["analysis"]["test_errors"],
    }
    human = read_gallery(run / "gallery").human
    np.testing.assert_allclose(human.votes.max(axis=1), 41 / 50)
    assert "What people say" in _page(run)


@pytest.mark.parametrize("shape", [(3, 10), (1000, 9)])
def test_wrong_counts_are_refused_before_the_training(cifar_train, small, tmp_path, shape):
    np.save(tmp_path / "counts.npy", np.ones(shape))
    code, _, err = cifar_train(*small, "--human.counts", str(tmp_path / "counts.npy"))
    assert code == 2
    assert "counts.npy must be" in err
    assert "epoch 1/" not in err


def test_counts_in_another_order_are_refused(run, cifar_train, tmp_path):
    labels = read_gallery(run / "gallery").labels
    np.save(tmp_path / "counts.npy", np.eye(10)[(labels + 1) % 10])
    code, _, err = cifar_train("report", str(run), "--human.counts", str(tmp_path / "counts.npy"))
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert "another order" in err


def test_rechecks_in_another_order_are_refused(run, cifar_train, tmp_path):
    label = int(read_gallery(run / "gallery").labels[0])
    entry = {"id": 0, "given_original_label": (label + 1) % 10, "our_guessed_label": label}
    entry["mturk"] = {"given": 5, "guessed": 0, "neither": 0, "both": 0}
    (tmp_path / "rechecks.json").write_text(json.dumps([entry]))
    code, _, err = cifar_train("report", str(run), "--human.rechecks", str(tmp_path / "rechecks.json"))
    assert code == 2
    assert "another order" in err


class TestBadInput:
    """One line, exit 2."""

    def check(self, outcome, *words):
        code, _, err = outcome
        assert code == 2, err
        # The progress of decoding, where there is any, is a line that overwrites itself.
        lines = [line for line in err.strip().splitlines() if "image/s]" not in line]
        assert len(lines) == 1, err
        for word in words:
            assert word in err

    def test_no_run(self, cifar_train):
        self.check(cifar_train("report", "nowhere"), "no run directory nowhere")

    def test_no_configuration(self, cifar_train, tmp_path):
        (tmp_path / "empty").mkdir()
        self.check(cifar_train("report", "empty"), "config.yaml")

    def test_no_checkpoint(self, run, cifar_train):
        (run / "model.safetensors").unlink()
        (run / "checkpoints" / "best.ckpt").unlink()
        self.check(cifar_train("report", str(run)), "no checkpoint")

    def test_other_data(self, run, cifar_train, tmp_path):
        folder = tmp_path / "images"
        for split in ("train", "test"):
            for name in load_weights(run / "model.safetensors").spec.classes:
                (folder / split / name).mkdir(parents=True)
                for number in range(20):
                    pixels = np.full((32, 32, 3), number, np.uint8)
                    Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
        outcome = cifar_train(
            "report", str(run), "--data.source=folder", f"--data.root={folder}", "--data.train_limit=null"
        )
        self.check(outcome, "fingerprint")

    def test_weights_without_a_place_for_the_gallery(self, run, cifar_train):
        self.check(cifar_train("gallery", "--weights", str(run / "model.safetensors")), "--out is missing")

    def test_no_such_counts(self, run, cifar_train):
        self.check(
            cifar_train("report", str(run), "--human.counts", "x.npy"), "human.counts: there is no file x.npy"
        )

    def test_misspelled_field(self, run, cifar_train):
        self.check(cifar_train("report", str(run), "--human.count", "x.npy"), "did you mean human.counts?")


def test_a_run_without_validation_gets_a_report(cifar_train, small, tmp_path):
    code, _, err = cifar_train(*small, "--data.val_size=0", "--report=true", "--trainer.max_epochs=1")
    assert code == 0, err
    run = tmp_path / "runs" / "latest"
    assert "familiarity" not in load_weights(run / "model.safetensors").metrics
    page = _page(run)
    assert "Validation accuracy" not in page
    assert "temperature" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_a_model_without_errors_gets_a_report(run):
    """The labels of the test set are made to be what the model says."""
    import dataclasses

    from cifar_data import CIFAR10DataModule
    from cifar_train.cli.evaluate import write_everything
    from cifar_train.runs.directory import RunDirectory
    from cifar_train.runs.summary import read_summary

    place = RunDirectory(run)
    datamodule = CIFAR10DataModule(source="synthetic", train_limit=200, val_size=100, batch_size=50)
    dataset = datamodule.dataset
    predictions = read_gallery(run / "gallery").probabilities.argmax(1)
    test = dataclasses.replace(dataset.test, labels=predictions)
    datamodule._dataset = dataclasses.replace(dataset, test=test)
    write_everything(place, datamodule, people=None, summary=read_summary(place.summary))
    assert f"0 of {len(predictions):,} test images are misclassified." in _page(run)
    assert len(read_gallery(run / "gallery").errors) == 0
