"""The run directory: where everything about one run lies, and how it is found again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class RunDirectory:
    """Paths of one run, `runs/<recipe>-<time>/`; nothing here reads or writes.

    Args:
        path: The directory itself.

    >>> RunDirectory(Path("runs/fast")).last.as_posix()
    'runs/fast/checkpoints/last.ckpt'
    """

    path: Path

    @property
    def config(self) -> Path:
        """The whole configuration; `cifar-train --config` of it repeats the run."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """What the run logged, one row a logged step or epoch."""
        return self.path / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """Lightning's checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint of the highest validation accuracy; of the last epoch where there is no validation."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last finished epoch, to resume from."""
        return self.checkpoints / "last.ckpt"

    @property
    def weights(self) -> Path:
        """The weights file that the run ends with."""
        return self.path / "model.safetensors"

    @property
    def card(self) -> Path:
        """What the weights file is, as the Hugging Face Hub shows it."""
        return self.path / "model_card.md"

    @property
    def report(self) -> Path:
        """What the run came to."""
        return self.path / "report"

    @property
    def summary(self) -> Path:
        """The run's numbers as JSON."""
        return self.report / "summary.json"

    @property
    def page(self) -> Path:
        """The report to read, one file."""
        return self.report / "index.html"

    @property
    def figures(self) -> Path:
        """The report's figures."""
        return self.report / "figures"

    @property
    def gallery(self) -> Path:
        """All test predictions, with the images of the errors."""
        return self.path / "gallery"


def create_run(root: Path, recipe: str) -> RunDirectory:
    """Make a new, empty run directory below `root`.

    Args:
        root: Directory of all runs; made if missing.
        recipe: First half of the name; the second is the local time to the second.

    Raises:
        OSError: If the directory cannot be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    stem = f"{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem if attempt == 1 else f"{stem}-{attempt}" for attempt in range(1, 1000))
    for name in names:
        try:
            (root / name).mkdir()
        except FileExistsError:
            # Another run began in the same second.
            continue
        return RunDirectory(root / name)
    raise FileExistsError(
        f"{root} has 999 runs named {stem}; clear it out or set --runs to another directory"
    )


@contextmanager
def claim(run: RunDirectory) -> Iterator[None]:
    """Keep other processes from training in a run directory, for as long as the `with` statement lasts.

    The claim ends with the process, however that ends.

    Raises:
        ValueError: If another process holds it.
    """
    lock = FileLock(run.path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another process is training in {run.path}; wait for it or end it, or leave out --ckpt_path to begin "
            "a new run"
        ) from None
    try:
        for stale in run.checkpoints.glob(".*.tmp"):  # of a process that was killed while it wrote
            stale.unlink()
        yield
    finally:
        lock.release()


def point_latest(run: Path) -> None:
    """Make `latest`, beside `run`, a link to it, in one step that no reader can fall between."""
    staged = run.parent / f".latest-{os.getpid()}"
    staged.unlink(missing_ok=True)
    staged.symlink_to(run.name, target_is_directory=True)
    staged.replace(run.parent / "latest")


def find_run(path: Path) -> RunDirectory:
    """The existing run directory at `path`, links resolved, so that a later run cannot move it.

    Raises:
        FileNotFoundError: If there is none; the message names the runs beside it.
    """
    if not path.is_dir():
        beside = path.parent if path.parent.is_dir() else None
        runs = sorted(p.name for p in beside.iterdir() if p.is_dir() and not p.is_symlink()) if beside else []
        there = f"; {beside} has {', '.join(runs[-5:])}" if runs else "; train one first with cifar-train"
        raise FileNotFoundError(f"there is no run directory {path}{there}")
    return RunDirectory(path.resolve())
