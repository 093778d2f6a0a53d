"""The checkpoints of a run as Lightning writes them: the best epoch's and the last one's, whole at any moment."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from cifar_models.atomic import write_at_once


class RunCheckpoint(ModelCheckpoint):
    """One checkpoint file of a run, which follows the run directory when that is moved or copied.

    Lightning's own keeps the best score only as long as the directory has the same absolute path, and goes on to name
    the file in the old place.

    Args:
        dirpath: The run's directory of checkpoints.
        name: The file's name without its ending; one callback a name.
        monitor: The metric whose highest value decides; the latest epoch if none.
    """

    def __init__(self, dirpath: Path, name: str, *, monitor: str | None = None) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=name,
            monitor=monitor,
            mode="max",
            # The latest of all epochs, whether or not the epoch is one that is validated.
            save_on_train_epoch_end=None if monitor else True,
            # One file a name: resumed runs go on with theirs rather than beginning best-v1.
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """Where this callback's state lies in a checkpoint: by the file's name, which tells two of them apart."""
        return f"{type(self).__name__}[{self.filename}]"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state with all its paths in the directory of now, unless the best file did not come along."""
        here = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        paths = {
            name: moved(state_dict[name])
            for name in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        if not all(Path(path).is_file() for path in best):
            return  # there is nothing here that a further epoch would have to be better than
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its name, flushes it to the disk and renames it.

    Lightning's own writes into the directory for temporary files and moves it from there; where that is another file
    system, the move is a copy onto the checkpoint of before, which a kill or a full disk leaves cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`, a file of this machine.

        Raises:
            TypeError: If `storage_options` are given: a file has none.
            OSError: If it cannot be written; what was there is left as it was.
        """
        if storage_options is not None:
            raise TypeError("storage_options are for remote storage, and this writes files only")
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_at_once(target, buffer.getbuffer())


def checkpoint_callbacks(directory: Path, *, validates: bool) -> list[RunCheckpoint]:
    """The callbacks that write `best.ckpt` and `last.ckpt`.

    Args:
        directory: The run's directory of checkpoints.
        validates: Whether there is a validation accuracy to choose the best by; else it is the latest epoch's.
    """
    return [
        RunCheckpoint(directory, "best", monitor="val_accuracy" if validates else None),
        # A callback of its own: `save_last` writes only in epochs that are also among the best. And behind the
        # other, whose state it contains.
        RunCheckpoint(directory, "last"),
    ]


def with_whole_checkpoints(plugins: Any) -> list[Any]:
    """Add :class:`WholeCheckpointIO` to a trainer's plugins, unless they say how checkpoints are written.

    >>> [type(plugin).__name__ for plugin in with_whole_checkpoints(None)]
    ['WholeCheckpointIO']
    """
    given = [] if plugins is None else list(plugins) if isinstance(plugins, list | tuple) else [plugins]
    return (
        given if any(isinstance(plugin, CheckpointIO) for plugin in given) else [*given, WholeCheckpointIO()]
    )
