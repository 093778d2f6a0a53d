"""The bundle: everything that a Hugging Face Space needs, in one folder.

The Space's builder sees nothing but `requirements.txt`, so the sources lie in the folder itself, beside `app.py`.
"""

import json
import os
import re
import shutil
import tempfile
from importlib.metadata import distribution, version
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import jinja2

from cifar_explain import find_layers, read_gallery
from cifar_models import CIFAR10, Weights, load_weights, model_card, save_weights
from cifar_space.artifacts.files import ASSETS, ServedFiles, read_report
from cifar_space.artifacts.test_images import DATASET
from cifar_space.publish.requirements import MACHINES, VENDORED, Machine, requirements_text

#: The names at the top of a bundle, and no others.
TOP_NAMES = (
    "README.md",
    "MODEL_CARD.md",
    "app.py",
    "requirements.txt",
    *(name.replace("-", "_") for name in VENDORED),
)

#: Where a bundle has its weights; a gallery and a report lie beside them.
WEIGHTS_NAME = "cifar_space/assets/model.safetensors"

# Of a package; what the served model needs of the assets is added.
_IGNORED = shutil.ignore_patterns(".*", "__pycache__", "*.pyc", "assets")

# From where an absolute path begins in a text to the text's end.
_ABSOLUTE_PATH = re.compile(r"(^|[\s=])(?:~?/|[A-Za-z]:[\\/]|\\\\)(?=\S).*", re.DOTALL)

# Not HTML, so nothing is escaped; names of classes may be anything.
_TEMPLATES = jinja2.Environment(  # noqa: S701
    loader=jinja2.PackageLoader("cifar_space", "publish"),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.filters |= {
    "json": lambda value: json.dumps(value, ensure_ascii=False),
    "markdown": lambda text: re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(text.split())),
}


def build_bundle(
    files: ServedFiles,
    out: str | os.PathLike[str],
    *,
    torch: str = "cpu",
    dtype: str | None = None,
    model_id: str | None = None,
) -> None:
    """Writes the bundle that serves a model, at once or not at all.

    The same files and installed packages give the same bytes. Absolute paths in the report's summary are cut to
    their last part.

    Args:
        files: The model's files.
        out: The folder; absent, empty, or a former bundle, which is replaced.
        torch: The kind of machine, a key of `cifar_space.publish.requirements.MACHINES`.
        dtype: "float16" or "float32" to store the weights so; None for the file as it is. A gallery belongs to the
            very file that is served, so it is left out if the file changes.
        model_id: The model's repository on the Hub, to which the Space then links.

    Raises:
        ValueError: If the weights or the gallery are not valid or not of each other, or an argument is not allowed.
        FileExistsError: If the folder holds anything else; it is left as it is.
        OSError: If a file is missing, or the bundle cannot be written.
    """
    if torch not in MACHINES:
        raise ValueError(f"torch must be one of {', '.join(MACHINES)}, got {torch!r}")
    target = Path(out).resolve()
    _check_replaceable(target)
    weights = load_weights(files.weights)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        staged = Path(folder, "new")
        assets = (staged / WEIGHTS_NAME).parent
        for name in VENDORED:
            _copy_package(name, staged)
        shutil.copytree(ASSETS / "examples", assets / "examples", ignore=_IGNORED)
        served = _write_weights(weights, files.weights, staged / WEIGHTS_NAME, dtype)
        if files.gallery is not None and served.sha256 == weights.sha256:
            read_gallery(files.gallery, weights_sha256=weights.sha256)
            _copy_files(assets / "gallery", files.gallery / "gallery.npz", *files.gallery.glob("gallery.png"))
        if files.report is not None:
            summary = _relative(read_report(files.report).summary)
            _copy_files(assets / "report" / "figures", *files.report.glob("figures/*.png"))
            text = json.dumps(summary, indent=2) + "\n"
            (assets / "report" / "summary.json").write_text(text, encoding="utf-8")
        texts = {
            "app.py": app_text(torch),
            "requirements.txt": requirements_text(torch),
            "README.md": readme_text(
                served, machine=MACHINES[torch], gallery=(assets / "gallery").exists(), model_id=model_id
            ),
            "MODEL_CARD.md": model_card(
                served, parameters=sum(parameter.numel() for parameter in weights.model.parameters())
            ),
        }
        for name, text in texts.items():
            (staged / name).write_text(text, encoding="utf-8")
        _exchange(staged, target, before=Path(folder, "before"))


def app_text(torch: str) -> str:
    """Returns the `app.py` of a bundle for a kind of machine, a key of `MACHINES`."""
    return _TEMPLATES.get_template("app.py.jinja").render(zerogpu=torch == "zerogpu")


def readme_text(
    weights: Weights, *, machine: Machine, gallery: bool = False, model_id: str | None = None
) -> str:
    """Returns the `README.md` of a bundle, with the front matter that configures the Space."""
    cifar10 = weights.spec.classes == CIFAR10.classes
    return _TEMPLATES.get_template("space.md.jinja").render(
        title="CIFAR-10 classify and explain" if cifar10 else "Classify and explain",
        gradio=version("gradio"),
        machine=machine,
        cifar10=cifar10,
        dataset=DATASET,
        model_id=model_id,
        gallery=gallery,
        classes=weights.spec.classes,
        layers=list(find_layers(weights.model)),
        sha256=weights.sha256,
    )


def _check_replaceable(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file; give a folder")
    names = {path.name for path in target.iterdir()} if target.exists() else set()
    foreign = sorted(names - set(TOP_NAMES))
    if foreign or (names and not (target / WEIGHTS_NAME).is_file()):
        raise FileExistsError(
            f"{target} holds other files and is left as it is: {', '.join((foreign or sorted(names))[:5])}; give an "
            "empty folder or a former bundle"
        )


def _exchange(staged: Path, target: Path, *, before: Path) -> None:
    if target.exists():
        target.replace(before)
    try:
        staged.replace(target)
    except BaseException:
        if before.exists():
            before.replace(target)
        raise


def _copy_package(name: str, staged: Path) -> None:
    """Copies an installed package and its licence, without its assets, caches and hidden files."""
    source = _package_folder(name)
    shutil.copytree(source, staged / source.name, ignore=_IGNORED)
    licence = source.parents[1] / "LICENSE"
    if not licence.is_file():  # installed from a wheel, not from its source tree
        (found,) = (file for file in distribution(name).files or () if file.name == "LICENSE")
        licence = Path(str(found.locate()))
    shutil.copyfile(licence, staged / source.name / "LICENSE")


def _package_folder(name: str) -> Path:
    return Path(str(package_files(name.replace("-", "_")))).resolve()


def _copy_files(folder: Path, *sources: Path) -> None:
    folder.mkdir(parents=True)
    for source in sources:
        shutil.copyfile(source, folder / source.name)


def _write_weights(weights: Weights, source: Path, path: Path, dtype: str | None) -> Weights:
    if dtype is None or dtype == weights.dtype:
        shutil.copyfile(source, path)
        return weights
    save_weights(
        path,
        weights.model,
        architecture=weights.architecture,
        arguments=weights.arguments,
        spec=weights.spec,
        recipe=weights.recipe,
        metrics=weights.metrics,
        dtype=dtype,
    )
    return load_weights(path)


def _relative(value: Any) -> Any:
    """Returns JSON in which absolute paths, which tell of the machine they came from, are cut to their last part."""
    if isinstance(value, dict):
        return {key: _relative(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_relative(inner) for inner in value]
    if isinstance(value, str):
        return _ABSOLUTE_PATH.sub(
            lambda found: found[1] + re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], value
        )
    return value
