"""The bundle: all that a Hugging Face Space needs, in one folder.

The Space's builder sees nothing but `requirements.txt`, so the sources lie in the folder itself, beside `app.py`.
"""

import json
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from cifar_explain import read_gallery
from cifar_models import Weights, load_weights, save_weights
from cifar_space.artifacts.files import ServedFiles
from cifar_space.artifacts.report_files import read_report
from cifar_space.publish.bundle_manifest import (
    MANIFEST_NAME,
    Manifest,
    check_bundle,
    describe_content,
    foreign_files,
)
from cifar_space.publish.bundle_requirements import VENDORED, check_torch, requirements_text
from cifar_space.publish.bundle_texts import app_text, readme_text
from cifar_space.publish.space_files import app_readme, package_files

_ASSETS = "cifar_space/assets"
_WEIGHTS_NAME = f"{_ASSETS}/model.safetensors"
# From where an absolute path begins in a text to the text's end.
_ABSOLUTE_PATH = re.compile(r"(^|[\s=])(?:~?/|[A-Za-z]:[\\/]|\\\\)(?=\S).*", re.DOTALL)


def build_bundle(
    files: ServedFiles, out: str | os.PathLike[str], *, torch: str = "cpu", dtype: str | None = None
) -> Manifest:
    """Write the bundle that serves a model, at once or not at all, and return its manifest.

    The same files and installed packages give the same bytes. Absolute paths in the report's summary are cut to
    their last part.

    Args:
        files: What is served.
        out: The folder; it may be absent, empty, or a bundle that was not touched since it was built.
        torch: The kind of machine, a key of `cifar_space.publish.bundle_requirements.TORCH`.
        dtype: "float16" or "float32" to store the weights so; None for the file as it is. A gallery is of the very
            file that is served, so it is left out if the file changes.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If the weights or the gallery are not valid or not of each other, or an argument is not allowed.
        FileExistsError: If the folder holds anything else; it is left as it is.
        OSError: If the bundle cannot be written.
    """
    check_torch(torch)
    target = Path(out).resolve()
    _check_replaceable(target)
    contents = {"app.py": app_text(torch).encode(), "requirements.txt": requirements_text(torch).encode()}
    for name in VENDORED:
        contents |= {path: content for path, content in package_files(name).items() if not _is_replaced(path)}
    weights = load_weights(files.weights)
    converted = dtype is not None and dtype != weights.dtype
    contents[_WEIGHTS_NAME] = _weights(weights, dtype) if converted and dtype else files.weights.read_bytes()
    if files.gallery is not None and not converted:
        contents |= _gallery(files.gallery, weights.sha256)
    if files.report is not None:
        contents |= _report(files.report)
    sha256 = describe_content(contents[_WEIGHTS_NAME]).sha256
    readme, images = app_readme()
    contents |= {
        "README.md": readme_text(readme, torch=torch, weights=weights, sha256=sha256).encode(),
        **images,
    }
    manifest = Manifest(
        torch, {name: describe_content(content) for name, content in sorted(contents.items())}
    )
    contents[MANIFEST_NAME] = manifest.to_json().encode()
    _write(target, contents)
    return manifest


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file; give a folder")
    if not any(target.iterdir()):
        return
    try:
        foreign = foreign_files(target, check_bundle(target))
    except (FileNotFoundError, ValueError) as error:
        raise FileExistsError(f"{target} holds other files and is left as it is: {error}") from error
    if foreign:
        raise FileExistsError(
            f"{target} holds files of others and is left as it is: {', '.join(foreign[:5])}"
        )


def _is_replaced(path: str) -> bool:
    """Tell whether a file that comes with the app gives way to those that are served."""
    return path == _WEIGHTS_NAME or path.startswith((f"{_ASSETS}/gallery/", f"{_ASSETS}/report/"))


def _weights(weights: Weights, dtype: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
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
        return path.read_bytes()


def _gallery(folder: Path, sha256: str) -> dict[str, bytes]:
    names = [name for name in ("gallery.npz", "gallery.png") if (folder / name).is_file()]
    read_gallery(folder, weights_sha256=sha256)
    return {f"{_ASSETS}/gallery/{name}": (folder / name).read_bytes() for name in names}


def _report(folder: Path) -> dict[str, bytes]:
    # As the Space will read it, so that what it would refuse at its start is refused here.
    summary = _relative(read_report(folder).summary)
    text = json.dumps(summary, indent=2, allow_nan=False)
    found = {f"{_ASSETS}/report/summary.json": f"{text}\n".encode()}
    for figure in sorted((folder / "figures").glob("*.png")):
        found[f"{_ASSETS}/report/figures/{figure.name}"] = figure.read_bytes()
    return found


def _relative(value: Any) -> Any:
    """Return JSON in which absolute paths, which tell of the machine they came from, are cut to their last part."""
    if isinstance(value, dict):
        return {key: _relative(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_relative(inner) for inner in value]
    if isinstance(value, str):
        return _ABSOLUTE_PATH.sub(
            lambda found: found[1] + re.split(r"[\\/]", found[0].rstrip("\\/"))[-1], value
        )
    return value


def _write(target: Path, contents: dict[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    staged = target.with_name(f".{target.name}-{mark}")
    before = target.with_name(f".{target.name}-{mark}-before")
    try:
        for name, content in contents.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        check_bundle(staged)
        if target.exists():
            target.replace(before)
        staged.replace(target)
    finally:
        if before.exists() and not target.exists():
            before.replace(target)
        # Only what is no longer needed: what cannot be deleted is left, and hurts nobody.
        shutil.rmtree(before, ignore_errors=True)
        shutil.rmtree(staged, ignore_errors=True)
