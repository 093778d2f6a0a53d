"""The README's regions, written from docs/results and the demo's files below one root."""

import difflib
import json
from pathlib import Path

import regions
import sections
from runs import read_published, read_rows

from cifar_models import read_header

#: From the repository's root.
ASSETS = Path("apps/space/src/cifar_space/assets")
RESULTS = Path("docs/results")


def render(root: Path) -> str:
    """Return the README as it ought to be, from what lies below `root`.

    Raises:
        ValueError: If the README's marks or the files of results are not in order.
        FileNotFoundError: If one of the files is missing.
    """
    summary = json.loads((root / ASSETS / "report" / "summary.json").read_text())
    header = read_header(root / ASSETS / "model.safetensors")
    link = RESULTS / _row_of(root, summary) / "metrics.csv"
    contents = {
        "results": sections.results(read_rows(root / RESULTS)),
        "published": sections.published(read_published(root / RESULTS)),
        "shipped": sections.shipped(summary, header),
        "log": sections.log(root / link, summary, header, link=link.as_posix()),
        "errors": sections.errors(summary),
    }
    return regions.fill((root / "README.md").read_text(encoding="utf-8"), contents)


def _row_of(root: Path, summary: dict) -> str:
    """The row whose runs hold the run that the demo's summary is of.

    Raises:
        ValueError: If there is none.
    """
    for row in read_rows(root / RESULTS):
        if any(run["metrics"] == summary["metrics"] for run in row.runs):
            return row.name
    raise ValueError(
        f"the demo's run, {summary['recipe']} with seed {summary['seed']}, is in no folder of {RESULTS}"
    )


def write(root: Path) -> bool:
    """Write the README anew; return whether anything changed."""
    path, text = root / "README.md", render(root)
    if path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


def difference(root: Path) -> str:
    """Return what `write` would change, as a unified diff; empty if nothing."""
    before = (root / "README.md").read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), render(root).splitlines(keepends=True), "README.md", "as generated"
    )
    return "".join(lines)
