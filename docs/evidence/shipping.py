"""A finished run as a row of results, or as the weights, gallery, report and card of the repository."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from documents import ASSETS, RESULTS

from cifar_models import read_header
from cifar_train.cli import main as cifar_train

#: Test accuracy that storing in float16 may cost.
TOLERANCE = 0.0005
#: The recipe whose weights are kept in weights/.
KEPT = "fast"


def record(run: Path, stage: Path, *, row: str | None = None) -> dict[str, Any]:
    """Put a run's summary among the results, and return it.

    Args:
        run: A finished run directory of cifar-train.
        stage: A copy of the repository's files, to write into.
        row: The folder in docs/results; by default the recipe's name.

    Raises:
        FileNotFoundError: If the run has no summary.
        ValueError: If its command names a folder of this machine.
    """
    summary = json.loads((run / "report" / "summary.json").read_text())
    summary["command"] = without_folders(summary["command"])
    if found := [word for word in summary["command"] if word.rpartition("=")[2].startswith("/")]:
        raise ValueError(f"the command in {run} names {found[0]!r}, of this machine only; take it out first")
    path = stage / RESULTS / (row or summary["recipe"]) / f"seed-{summary['seed']}" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
    return summary


def without_folders(command: Sequence[str]) -> list[str]:
    """Return a command line without the options that name folders.

    >>> without_folders(["cifar-train", "--runs", "../runs", "--recipe", "fast", "--data.root=/data"])
    ['cifar-train', '--recipe', 'fast']
    """
    kept: list[str] = []
    words = iter(command)
    for word in words:
        option, equals, _ = word.partition("=")
        if option not in ("--runs", "--data.root", "--data.cache_dir", "--ckpt_path"):
            kept.append(word)
        elif not equals:
            next(words, None)
    return kept


def ship(run: Path, stage: Path, *, app: bool = True) -> None:
    """Store a run's weights in float16, evaluate that file, and make its report, gallery and card.

    Args:
        run: A finished run directory of cifar-train; it stays as it is.
        stage: A copy of the repository's files, to write into.
        app: Whether the weights become the app's; else only card, results and, of `fast`, the weights are kept.

    Raises:
        FileNotFoundError: If the run is not finished.
        ValueError: If the run was trained on since its weights were written, or float16 costs accuracy.
        RuntimeError: If a command of cifar-train fails; it has told why.
    """
    trained = record(run, stage)
    recipe, results = trained["recipe"], stage / RESULTS / trained["recipe"]
    summary = results / f"seed-{trained['seed']}" / "summary.json"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        for name in ("config.yaml", "metrics.csv", "checkpoints/best.ckpt", "model.safetensors"):
            _copy(run / name, made / name)
        _copy(summary, made / "report" / "summary.json")
        _store(run, made, trained["metrics"]["test_accuracy"])
        _copy(made / "report" / "summary.json", summary)

        name = f"{KEPT}.safetensors" if recipe == KEPT else "model.safetensors"
        card = (made / "model_card.md").read_text(encoding="utf-8").replace("model.safetensors", name)
        (stage / "weights").mkdir()
        (stage / "weights" / f"{recipe}.md").write_text(card, encoding="utf-8")
        if recipe == KEPT:
            _copy(made / "model.safetensors", stage / "weights" / name)
        if app:
            _copy(made / "metrics.csv", results / "metrics.csv")
            for name in ("model.safetensors", "report/summary.json"):
                _copy(made / name, stage / ASSETS / name)
            for name in ("gallery", "report/figures"):
                shutil.copytree(made / name, stage / ASSETS / name, dirs_exist_ok=True)


def _store(run: Path, made: Path, trained: float) -> None:
    """Replace the weights of the copy `made` by those in float16, and write its report anew."""
    weights = made / "model.safetensors"
    _run("export", f"--run={made}", f"--out={weights}", "--dtype=float16")
    # Without metrics if those in the run's own file are of another checkpoint.
    if not read_header(weights).metrics:
        raise ValueError(f"{run} was trained on since its weights were written; let it finish first")
    data = yaml.safe_load((made / "config.yaml").read_text())["data"]
    _run("test", f"--weights={weights}", "--record", f"--data.source={data['source']}")
    stored = read_header(weights).metrics["test_accuracy"]
    if abs(stored - trained) > TOLERANCE:
        raise ValueError(
            f"test accuracy is {stored:.4f} in float16 and {trained:.4f} as trained; "
            f"a difference of at most {TOLERANCE} is allowed"
        )
    _run("report", str(made))


def _run(*arguments: str) -> None:
    if code := cifar_train(arguments):
        raise RuntimeError(f"cifar-train {arguments[0]} ended with exit code {code}")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
