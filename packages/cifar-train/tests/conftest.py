import pytest

#: A net and a set small enough that a whole run takes about a second.
SMALL = [
    "--model.architecture=whitenet",
    '--model.arguments={"widths": [8, 8, 8]}',
    "--data.source=synthetic",
    "--data.train_limit=200",
    "--data.val_size=100",
    "--data.batch_size=50",
    "--trainer.accumulate_grad_batches=2",
    "--trainer.log_every_n_steps=1",
    "--trainer.max_epochs=2",
]

#: A report takes longer than such a run; tests that are about something else go without.
QUICK = [*SMALL, "--report=false"]


@pytest.fixture
def small():
    return list(QUICK)


@pytest.fixture
def cifar_train(monkeypatch, tmp_path, capsys):
    """Call the command in an empty directory; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR_DATA_DIR", raising=False)
    monkeypatch.delenv("CIFAR_DEBUG", raising=False)
    monkeypatch.setenv("CIFAR_CACHE_DIR", str(tmp_path / "cache"))

    def call(*args):
        from cifar_train.cli.main import main

        capsys.readouterr()
        code = main(list(args))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """Make a finished small run, with report and gallery, in a directory; returns the run directory."""

    def make(directory):
        from cifar_train.cli.main import main

        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(directory)
            patch.delenv("CIFAR_DATA_DIR", raising=False)
            patch.setenv("CIFAR_CACHE_DIR", str(directory / "cache"))
            assert main(SMALL) == 0
        return (directory / "runs" / "latest").resolve()

    return make
