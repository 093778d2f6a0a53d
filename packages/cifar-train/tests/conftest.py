import contextlib
import os
import shutil

import pytest
from filelock import FileLock

from cifar_train.cli import main

#: A network and a data set so small that a run takes about a second.
SMALL = [
    "--model.architecture=whitenet", '--model.arguments={"widths": [8, 8, 8]}', "--data.source=synthetic",
    "--data.train_limit=200", "--data.val_size=100", "--data.batch_size=50", "--trainer.max_epochs=2",
    "--trainer.accumulate_grad_batches=2", "--trainer.log_every_n_steps=1",
]  # fmt: skip


@pytest.fixture
def small():
    return SMALL


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder of all test processes of this session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cifar-train"
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def working_in(directory, shared_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.delenv("CIFAR_DATA_DIR", raising=False)
        patch.delenv("CIFAR_DEBUG", raising=False)
        patch.setenv("CIFAR_CACHE_DIR", str(shared_folder / "cache"))
        yield patch


@pytest.fixture
def cifar_train(tmp_path, capsys, shared_folder):
    """Call the command in an empty directory; returns exit code, stdout and stderr."""

    def call(*args):
        capsys.readouterr()
        return main(list(args)), *capsys.readouterr()

    with working_in(tmp_path, shared_folder):
        yield call


@pytest.fixture
def succeed(cifar_train):
    """Call the command, which must succeed; returns stdout and stderr."""

    def call(*args):
        code, out, err = cifar_train(*args)
        assert code == 0, err
        return out, err

    return call


@pytest.fixture
def refuse(cifar_train):
    """Call the command, which must fail with one line as its last; returns stderr."""

    def call(*args):
        code, out, err = cifar_train(*args)
        assert (code, out) == (2, ""), err
        assert err.splitlines()[-1].startswith("cifar-train: "), err
        return err

    return call


@pytest.fixture(scope="session")
def trained_run(shared_folder):
    """The directory of a small run with report and gallery, made once; tests that change it take `copied_run`."""
    folder = shared_folder / "trained"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            with working_in(folder, shared_folder) as patch:
                patch.setattr("cifar_train.report.analysis.TESTED_IMAGES", 4)
                assert main(SMALL) == 0
    return (folder / "runs" / "latest").resolve()


@pytest.fixture
def copied_run(trained_run, tmp_path):
    """A copy of `trained_run` that a test may change."""
    return shutil.copytree(trained_run, tmp_path / "run")


@pytest.fixture
def quick_report(monkeypatch):
    """Reports without figures, and with few images for the faithfulness of maps."""
    monkeypatch.setattr(
        "cifar_train.report.report.write_figures",
        lambda folder, *_, **__: folder.mkdir(parents=True, exist_ok=True) or {},
    )
    monkeypatch.setattr("cifar_train.report.analysis.TESTED_IMAGES", 2)
