"""The generated regions of README.md and docs/RESULTS.md, written from docs/results and the app's files."""

import contextlib
import filecmp
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jinja2
from results import describe_machines, percent, read_epochs, read_rows

from cifar_models import read_header
from cifar_models.atomic import write_at_once

#: From the repository's root.
RESULTS = Path("docs/results")
ASSETS = Path("apps/space/src/cifar_space/assets")
DOCUMENTS = (Path("README.md"), Path("docs/RESULTS.md"))

_MARK = re.compile(r"<!-- (?:generated:|end of) (\w+) -->")
_REGION = re.compile(r"(<!-- generated: (\w+) -->\n.*?<!-- end of \2 -->)", re.DOTALL)


def render(root: Path) -> dict[Path, str]:
    """Return the documents as they ought to be, by their path from the root.

    Raises:
        ValueError: If the documents' marks or the files of results are not in order.
        FileNotFoundError: If one of the files is missing.
    """
    regions = {name: region for region, name in _REGION.findall(render_regions(root))}
    texts = {path: (root / path).read_text(encoding="utf-8") for path in DOCUMENTS}
    names = sorted(name for text in texts.values() for _, name in _REGION.findall(text))
    marks = sorted(name for text in texts.values() for name in _MARK.findall(text))
    if names != sorted(regions) or marks != sorted([*regions, *regions]):
        raise ValueError(
            f"{' and '.join(map(str, DOCUMENTS))} need one region, from <!-- generated: NAME --> to "
            f"<!-- end of NAME -->, for each of {', '.join(regions)}; their marks are {', '.join(marks) or 'missing'}"
        )
    return {path: _REGION.sub(lambda found: regions[found[2]], text) for path, text in texts.items()}


def render_regions(root: Path) -> str:
    """Return all regions, with their marks."""
    summary = json.loads((root / ASSETS / "report" / "summary.json").read_text())
    header = read_header(root / ASSETS / "model.safetensors")
    rows = read_rows(root / RESULTS)
    own = [row.name for row in rows if summary["metrics"] in [run["metrics"] for run in row.runs]]
    if not own:
        raise ValueError(
            f"the app's run, {summary['recipe']} with seed {summary['seed']}, is in no folder of {RESULTS}"
        )
    text = Path(__file__).with_name("regions.md.jinja").read_text(encoding="utf-8")
    return jinja2.Template(text, trim_blocks=True, undefined=jinja2.StrictUndefined).render(
        percent=percent,
        rows=rows,
        machine=describe_machines(rows),
        summary=summary,
        header=header,
        own_row=own[0],
        epochs=read_epochs(root / RESULTS / own[0] / "metrics.csv"),
        figures=(ASSETS / "report" / "figures").as_posix(),
    )


def copy_sources(root: Path, target: Path) -> None:
    """Copy the documents and all that they are made of."""
    for place in (RESULTS, ASSETS / "report"):
        shutil.copytree(root / place, target / place)
    for place in (*DOCUMENTS, ASSETS / "model.safetensors"):
        shutil.copyfile(root / place, target / place)


@contextlib.contextmanager
def staged(root: Path) -> Iterator[Path]:
    """Provide a copy of the documents and of all that they are made of, to be changed.

    At the end the copy's documents are rendered and every changed file is written to the root. If anything fails
    before, the root stays as it is.
    """
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        copy_sources(root, stage)
        yield stage
        for place, text in render(stage).items():
            (stage / place).write_text(text, encoding="utf-8")
        for path in sorted(path for path in stage.rglob("*") if path.is_file()):
            place = path.relative_to(stage)
            if not (root / place).exists() or not filecmp.cmp(path, root / place, shallow=False):
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                write_at_once(root / place, path.read_bytes())
                print(place)
