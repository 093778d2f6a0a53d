"""The table of `bench_train.py`: one row a rival, from the records of its runs."""

import statistics
from collections.abc import Sequence
from typing import Any

from rounds import markdown_table, mean_and_deviation

from cifar_train.formatting import format_duration, format_durations

Record = dict[str, Any]

_HEADER = (
    "rival",
    "n",
    "epochs",
    "format",
    "test accuracy, one view (%)",
    "with its TTA (%)",
    "wall time",
    "training",
    "images/s",
    "peak memory (MiB)",
)


def training_table(runs: Sequence[Record]) -> str:
    """Return the Markdown table of runs, and below it what its words mean.

    Accuracies are means with the sample's standard deviation, times and paces medians with lowest and highest. Runs
    with further arguments are a row of their own.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for run in runs:
        groups.setdefault((run["rival"], *run["arguments"]), []).append(run)
    rows = [_row(" ".join(name), members) for name, members in groups.items()]
    lines = [markdown_table(_HEADER, rows), "", *_notes(groups)]
    return "\n".join(lines).rstrip()


def _row(name: str, runs: Sequence[Record]) -> list[str]:
    projected = runs[0]["projected"]
    tested = not projected
    return [
        name,
        str(len(runs)),
        " ".join(sorted({f"{run['epochs']:g}" for run in runs})),
        " ".join(sorted({run["precision"] for run in runs})),
        mean_and_deviation([100 * run["test_accuracy"] for run in runs]) if tested else "not trained",
        mean_and_deviation([100 * run["test_accuracy_tta"] for run in runs]) if tested else "",
        format_durations([run["wall_seconds"] for run in runs]) if tested else "",
        format_durations([run["train_seconds"] for run in runs]) + (", projected" if projected else ""),
        f"{statistics.median(run['images_per_second'] for run in runs):,.0f}",
        _memory(runs),
    ]


def _memory(runs: Sequence[Record]) -> str:
    known = [run["peak_memory_mib"] for run in runs if run["peak_memory_mib"] is not None]
    return f"{max(known):,.0f}" if known else ""


def _notes(groups: dict[tuple[str, ...], list[Record]]) -> list[str]:
    notes = [
        "Accuracy: mean and sample standard deviation over seeds. Wall time: of the whole process, up to its end. "
        "Times: median (lowest to highest). Memory: the highest of a row."
    ]
    for name, runs in groups.items():
        if runs[0]["projected"]:
            notes.append(
                f"{' '.join(name)}: training time projected from {runs[0]['measured_steps']} measured steps "
                f"({format_duration(runs[0]['measured_seconds'])}); not trained to its end."
            )
        else:
            notes.append(f"{' '.join(name)}: its TTA is {' or '.join(sorted({run['tta'] for run in runs}))}.")
    return notes
