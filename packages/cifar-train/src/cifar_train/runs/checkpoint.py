"""Checkpoints: written whole at any moment, best and last; read without unpickling anything."""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from cifar_data import CIFAR10DataModule
from cifar_models import InputSpec, create_model
from cifar_models.atomic import write_at_once

#: Key of a checkpoint under which everything lies that a weights file needs beside the tensors.
CHECKPOINT_KEY = "cifar_train"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint of cifar-train, which has tensors and plain types only; no other is read."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with warnings.catch_warnings():
            # torch warns of a foreign pickle before it refuses it.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # The unpickler raises almost anything for other bytes, and OSError for half a file.
        raise ValueError(f"{path} is not a checkpoint that can be read safely: {error!r}") from error
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise ValueError(f"{path} was not written by cifar-train: it lacks {CHECKPOINT_KEY!r}")
    return content


def restore_model(content: dict[str, Any]) -> tuple[nn.Module, InputSpec]:
    """Returns the model of a checkpoint, in evaluation mode on the CPU, and its input specification."""
    described = content[CHECKPOINT_KEY]
    model = create_model(described["architecture"], **described["arguments"]).eval()
    model.load_state_dict({name.removeprefix("net."): value for name, value in content["state_dict"].items()})
    return model, InputSpec.from_dict(described["input_spec"])


def batches_done(content: dict[str, Any]) -> tuple[int, int]:
    """Returns how many epochs a checkpoint has finished, and how many batches of the next one."""
    progress = content["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    if progress["is_last_batch"]:
        return content["epoch"] + 1, 0
    return content["epoch"], progress["current"]["processed"]


def resume_after_last_batch(content: dict[str, Any], datamodule: CIFAR10DataModule) -> None:
    """Changes a checkpoint so that Lightning resumes with the batch after the last, wherever it was saved.

    Lightning takes an epoch that a limit of steps or time cut short for a finished one, and trains the first batches
    of an epoch again if the checkpoint was saved in its middle.
    """
    epochs, batches = batches_done(content)
    loops = content["loops"]["fit_loop"]
    begun = epochs + (batches > 0)
    counts = {"ready": begun, "started": begun, "processed": epochs, "completed": epochs}
    loops["epoch_progress"] |= {"total": counts, "current": {**counts}}
    progress = loops["epoch_loop.batch_progress"]
    progress["is_last_batch"] = False
    progress["current"] = dict.fromkeys(progress["current"], batches)
    progress["total"] = dict.fromkeys(progress["total"], progress["total"]["processed"])
    datamodule.skip_batches = epochs, batches


class RunCheckpoint(ModelCheckpoint):
    """One checkpoint file of a run, which keeps its state when the run directory is moved or copied.

    Lightning's own forgets the best score if the directory has another absolute path. The highest value of ``monitor``
    decides; without one the latest epoch is kept.
    """

    def __init__(self, dirpath: Path, name: str, *, monitor: str | None = None) -> None:
        super().__init__(
            dirpath=dirpath,
            filename=name,
            monitor=monitor,
            mode="max",
            # The latest of all epochs, also where an epoch is not validated.
            save_on_train_epoch_end=None if monitor else True,
            # A resumed run replaces its file rather than starting best-v1.
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """The key of this callback's state in a checkpoint, which tells best and last apart."""
        return f"{type(self).__name__}[{self.filename}]"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the state for the present directory, unless the best file is not there."""
        here = Path(str(self.dirpath))

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        best = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        if all(Path(path).is_file() for path in best):
            names = ("best_model_path", "kth_best_model_path", "last_model_path")
            paths = {name: moved(state_dict[name]) for name in names}
            super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath})


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all.

    Lightning's own moves it from the directory for temporary files. On another file system that is a copy over the
    previous checkpoint, which a kill or a full disk leaves cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Writes `checkpoint` to a local file; on an OSError the previous file is left as it was."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_at_once(target, buffer.getbuffer())
