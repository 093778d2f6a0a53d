"""The run directory: the files of one run, and how runs are created and found."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

#: Environment variable with the run directory, for the further processes of a run (strategy ddp).
RUN_VARIABLE = "CIFAR_TRAIN_RUN"


class RunDirectory:
    """The paths of one run, `runs/<recipe>-<time>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The whole configuration; `cifar-train --config` of it repeats the run.
        self.config = path / "config.yaml"
        #: Logged values, a row for each logged step or epoch.
        self.metrics = path / "metrics.csv"
        self.checkpoints = path / "checkpoints"
        #: The checkpoint of the highest validation accuracy; of the last epoch if there is no validation split.
        self.best = self.checkpoints / "best.ckpt"
        #: The checkpoint of the last finished epoch, to resume from.
        self.last = self.checkpoints / "last.ckpt"
        #: The weights file made from the best checkpoint.
        self.weights = path / "model.safetensors"
        self.card = path / "model_card.md"
        self.report = path / "report"
        self.page = self.report / "index.html"
        self.summary = self.report / "summary.json"
        self.figures = self.report / "figures"
        self.gallery = path / "gallery"

    @property
    def trained(self) -> Path:
        """The checkpoint that the weights are made of: the best, or the last if none was validated."""
        return self.best if self.best.exists() else self.last

    def read_config(self) -> dict[str, Any]:
        """Reads the run's configuration."""
        if not self.config.is_file():
            raise FileNotFoundError(f"{self.path} is no run directory: it has no {self.config.name}")
        config = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config.get("data"), dict):
            raise ValueError(f"{self.config} is no configuration of a run: it has no section 'data'")  # noqa: TRY004
        return config


def create_run(root: Path, recipe: str) -> RunDirectory:
    """Creates an empty directory `<recipe>-<local time>` in `root`, which is created too if missing."""
    root.mkdir(parents=True, exist_ok=True)
    stem = path = root / f"{recipe}-{time.strftime('%Y%m%d-%H%M%S')}"
    number = 1
    while True:
        try:
            path.mkdir()
            return RunDirectory(path)
        except FileExistsError:  # another run began in the same second
            number += 1
            path = stem.with_name(f"{stem.name}-{number}")


def find_run(path: Path) -> RunDirectory:
    """Returns the existing run directory at `path`, with `~` and links such as `latest` resolved."""
    path = path.expanduser()
    if not path.is_dir():
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        runs = sorted(p.name for p in beside if RunDirectory(p).config.is_file() and not p.is_symlink())
        hint = f"name one of {path.parent}: {', '.join(runs[-5:])}" if runs else "train one with cifar-train"
        raise FileNotFoundError(f"there is no run directory {path}; {hint}")
    return RunDirectory(path.resolve())


def find_checkpoint(checkpoint: str, runs: Path) -> tuple[Path, RunDirectory | None]:
    """Returns the checkpoint `last` or `best` of the latest run, or at a path, and the run that it lies in, if any."""
    run: RunDirectory | None
    if checkpoint in ("last", "best"):
        run = find_run(Path(os.environ.get(RUN_VARIABLE) or runs / "latest"))
        path = run.last if checkpoint == "last" else run.best
    else:
        path = Path(checkpoint).expanduser()
        folder = path.resolve().parent
        run = RunDirectory(folder.parent) if folder.name == "checkpoints" else None
    if not path.is_file():
        raise FileNotFoundError(f"--ckpt_path {checkpoint}: there is no file {path}")
    return path, run


def open_run(runs: Path, name: str, *, resumed: RunDirectory | None) -> RunDirectory:
    """Returns the directory of a run that starts: that of `CIFAR_TRAIN_RUN`, the resumed one or a new one in `runs`."""
    variables = [v for v in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if v in os.environ]
    rank = int(os.environ[variables[0]]) if variables else 0
    if inherited := os.environ.get(RUN_VARIABLE):
        run = RunDirectory(Path(inherited).expanduser())
    elif resumed:
        run = resumed
    elif int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        # The tasks of one srun share a directory.
        step = os.environ.get("SLURM_STEP_ID", "0")
        run = RunDirectory(runs / f"{name}-slurm-{os.environ.get('SLURM_JOB_ID')}.{step}")
    elif rank > 0:
        raise ValueError(f"this is one of several processes; set {RUN_VARIABLE} to one directory for all")
    else:
        return create_run(runs, name)
    used = any(path.exists() for path in (run.config, run.metrics, run.checkpoints, run.weights))
    if rank == 0 and used and (resumed is None or resumed.path != run.path.resolve()):
        raise ValueError(
            f"{run.path} has a run already; set {RUN_VARIABLE} to a new directory, or resume that run with "
            f"--ckpt_path {run.last}"
        )
    return run


def point_latest(run: Path) -> None:
    """Replaces the link `latest` beside `run` with one to `run`, in one step; some file systems have no links."""
    staged = run.parent / f".latest-{os.getpid()}"
    try:
        staged.unlink(missing_ok=True)
        staged.symlink_to(run.name, target_is_directory=True)
        staged.replace(run.parent / "latest")
    finally:
        staged.unlink(missing_ok=True)


def remove_if_empty(run: RunDirectory) -> None:
    """Removes the directory of a run that failed before it wrote anything."""
    if not any(run.path.iterdir()):
        run.path.rmdir()


@contextmanager
def shared(run: RunDirectory) -> Iterator[None]:
    """Tells the processes that the `with` block starts the run directory; removes it afterwards if empty."""
    if RUN_VARIABLE in os.environ:
        yield  # this is one of those processes
        return
    os.environ[RUN_VARIABLE] = str(run.path)
    try:
        yield
    finally:
        del os.environ[RUN_VARIABLE]
        remove_if_empty(run)


@contextmanager
def claim(run: RunDirectory) -> Iterator[None]:
    """Keeps other processes from training in a run directory; the claim ends with the block or the process."""
    lock = FileLock(run.path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        hint = "wait until it ends, or leave out --ckpt_path to start a new run"
        raise ValueError(f"another process is training in {run.path}; {hint}") from None
    except (OSError, NotImplementedError) as error:
        hint = "name a directory on a local file system with --runs"
        raise ValueError(f"{run.path} cannot be locked ({error}); {hint}") from error
    try:
        for stale in run.checkpoints.glob(".*.tmp"):  # of a process that was killed while it wrote
            stale.unlink()
        yield
    finally:
        lock.release()
