"""The command `cifar-space`: serves the page, builds a bundle for Hugging Face Spaces, uploads it."""

import dataclasses
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cifar_space.artifacts.files import ServedFiles, built_in, of_run, of_weights
from cifar_space.publish.requirements import MACHINES


def _at(metavar: str, text: str) -> Any:
    def path(value: str) -> Path:
        # Shells leave `~` as it is in `--run=~/x`; that of nobody stays, and is reported as missing.
        return Path(os.path.expanduser(value))  # noqa: PTH111

    return typer.Option(metavar=metavar, parser=path, help=text)


Run = Annotated[
    Path | None,
    _at("DIR", "Run directory of cifar-train, with gallery and report.  [default: the built-in model]"),
]
WeightsFile = Annotated[Path | None, _at("FILE", "Weights file of cifar-train.")]
GalleryFolder = Annotated[
    Path | None,
    _at("DIR", "Folder of their test predictions and misclassified images, from `cifar-train gallery`."),
]
ModelId = Annotated[
    str | None, typer.Option(metavar="USER/NAME", help="The model's repository on the Hub, to link to.")
]
Torch = Literal["cpu", "zerogpu", "any"]

_TORCH_HELP = f"Machine to build for. {'; '.join(f'{name}: {one.about}' for name, one in MACHINES.items())}."
_FOR_ACCOUNT = {
    "cpu": "CPU Basic, which needs PRO or an organization",
    "zerogpu": "ZeroGPU, since this account is free and CPU Basic needs PRO; the Hub asks for a verified address and "
    "an account older than 30 days, and allows two such Spaces",
}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command with the process's arguments or others; returns 0, or 2 after an error of the user."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(args if args is None else list(args), prog_name="cifar-space")
    except SystemExit as end:
        # Of `--help | head`, nobody reads the rest.
        unread = isinstance(end.__context__, BrokenPipeError)
        return end.code if isinstance(end.code, int) and not unread else 0
    except (ValueError, OSError) as error:
        _say(f"cifar-space: {' '.join(str(error).split())}", "stderr")
        return 2
    return 0


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(envvar="GRADIO_SERVER_NAME", help="Address; 0.0.0.0 or :: for all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="GRADIO_SERVER_PORT", min=1, max=65535, help="Port to listen at.")
    ] = 7860,
    run: Run = None,
    weights: WeightsFile = None,
    gallery: GalleryFolder = None,
    images: Annotated[
        Path | None,
        _at(
            "PATH",
            "CIFAR-10's test images, for a gallery without them: a Parquet file or a folder with it."
            "  [default: looked for in CIFAR_DATA_DIR and the Hugging Face cache]",
        ),
    ] = None,
    fetch_images: Annotated[
        bool,
        typer.Option(
            "--fetch-images",
            envvar="CIFAR_SPACE_FETCH_IMAGES",
            help="Fetch them from Hugging Face (24 MB) if they are not here.",
        ),
    ] = False,
) -> None:
    """Serve a page that classifies images, shows where the model looks, and lists its errors.

    The commands below deploy it to Hugging Face Spaces.
    """
    if context.invoked_subcommand is not None:
        for name in context.params:
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise typer.BadParameter(f"--{name} must follow `{context.invoked_subcommand}`")
        return
    files = dataclasses.replace(_find_files(run, weights, gallery), images=images, fetch_images=fetch_images)
    parts = [name for name in ("gallery", "report") if getattr(files, name) is not None]
    _say(f"cifar-space: loading {', '.join([str(files.weights), *parts])} ...", "stderr")
    # Ends as Ctrl-C does, which removes temporary folders.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="cifar-space-", ignore_cleanup_errors=True) as folder:
        # Gradio's own choice is one folder for all users of a machine.
        os.environ["GRADIO_TEMP_DIR"] = os.environ.get("GRADIO_TEMP_DIR") or folder
        # torch and Gradio take seconds to import; a wrong path is reported at once.
        from cifar_space.service.service import load_service
        from cifar_space.ui.server import start

        service = load_service(files)
        page = start(service, host=host, port=port)
        _say(f"cifar-space: {service.weights.architecture} from {files.weights} at {page.local_url}")
        page.block_thread()


@app.command()
def build(
    out: Annotated[Path, _at("DIR", "Folder to write: new, empty, or written by an earlier build.")],
    dtype: Annotated[
        Literal["float16", "float32"] | None,
        typer.Option(
            help="Convert the weights; leaves the gallery out, which belongs to the file as it was."
            "  [default: the file as it is]"
        ),
    ] = None,
    torch: Annotated[Torch, typer.Option(help=_TORCH_HELP)] = "cpu",
    run: Run = None,
    weights: WeightsFile = None,
    gallery: GalleryFolder = None,
    model_id: ModelId = None,
) -> None:
    """Write everything that a Hugging Face Space needs into a folder."""
    _write_bundle(_find_files(run, weights, gallery), out, torch=torch, dtype=dtype, model_id=model_id)


@app.command()
def deploy(
    repo_id: Annotated[
        str, typer.Option(metavar="USER/NAME", help="The Space; USER may be an organization.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Let only the owner see the Space.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print files and calls; create and upload nothing.")
    ] = False,
    bundle: Annotated[
        Path | None, _at("DIR", "Folder from `cifar-space build`, instead of building now.")
    ] = None,
    torch: Annotated[
        Torch | None, typer.Option(help=f"{_TORCH_HELP}  [default: zerogpu for a free account, else cpu]")
    ] = None,
    run: Run = None,
    weights: WeightsFile = None,
    gallery: GalleryFolder = None,
    model_id: ModelId = None,
) -> None:
    """Upload the app as a Hugging Face Space, which is created if there is none.

    Needs a token with write access, from `hf auth login` or in HF_TOKEN.
    """
    if bundle is not None and (torch, run, weights, gallery, model_id) != (None,) * 5:
        raise typer.BadParameter(
            "--bundle excludes --torch, --run, --weights, --gallery and --model-id, which it settles"
        )
    files = _find_files(run, weights, gallery) if bundle is None else None
    from cifar_space.publish import deploy as publish

    with tempfile.TemporaryDirectory() as folder:
        if files is not None:
            machine: str = torch or "cpu"
            if not dry_run:
                publish.connect()  # before building, which takes a while
            if torch is None:
                try:
                    machine = publish.choose_machine(repo_id)
                    _say(f"cifar-space: {_FOR_ACCOUNT[machine]}")
                except publish.DeployError as error:
                    if not dry_run:
                        raise
                    _say(f"cifar-space: {error}; shown for CPU Basic", "stderr")
            bundle = Path(folder, "bundle")
            _write_bundle(files, bundle, torch=machine, dtype=None, model_id=model_id)
        plan = publish.plan_deployment(bundle or folder, repo_id, private=private)
        _say(plan.describe())
        if not dry_run:
            _say(publish.deploy(plan))


def _find_files(run: Path | None, weights: Path | None, gallery: Path | None) -> ServedFiles:
    if run is not None and weights is not None:
        raise typer.BadParameter("give --run or --weights, not both")
    files = of_run(run) if run is not None else of_weights(weights) if weights is not None else built_in()
    if gallery is None:
        return files
    if not (gallery / "gallery.npz").is_file():
        raise FileNotFoundError(f"{gallery} has no gallery.npz; write one with `cifar-train gallery`")
    return dataclasses.replace(files, gallery=gallery)


def _write_bundle(
    files: ServedFiles, out: Path, *, torch: str, dtype: str | None, model_id: str | None
) -> None:
    from cifar_space.publish.bundle import WEIGHTS_NAME, build_bundle

    build_bundle(files, out, torch=torch, dtype=dtype, model_id=model_id)
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    _say(f"{out}  {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, for {MACHINES[torch].about}")
    gallery = (out / WEIGHTS_NAME).with_name("gallery")
    if (gallery / "gallery.png").is_file():
        return
    lacking = "the images of the errors" if gallery.is_dir() else "a gallery"
    if files.gallery is not None and not gallery.is_dir():
        lacking += f", which belongs to the weights before --dtype {dtype}"
    hint = f"; `{files.gallery_command}` makes the whole gallery" if files.gallery_command else ""
    _say(f"cifar-space: without {lacking}{hint}", "stderr")


def _say(text: str, stream: str = "stdout") -> None:
    """Prints a line; work that is done or under way does not end because nobody can read it."""
    try:
        print(text, file=getattr(sys, stream), flush=True)
    except OSError:
        setattr(sys, stream, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
