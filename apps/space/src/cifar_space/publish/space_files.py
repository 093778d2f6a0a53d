"""The installed sources and texts that go into a bundle, be they installed from a wheel or from a source tree."""

from importlib.metadata import distribution, metadata
from importlib.util import find_spec
from pathlib import Path

from cifar_space.publish.bundle_texts import named_images, without_image


def package_files(name: str) -> dict[str, bytes]:
    """Return the files of a distribution's package and its licence, without caches and hidden files.

    The package is found without importing it.

    Args:
        name: The distribution, whose package has the same name with underscores.

    Returns:
        Content by path, which begins with the package's name.

    Raises:
        FileNotFoundError: If it is not installed as files, or its licence is not.

    >>> sorted(package_files("cifar-models"))[:2]
    ['cifar_models/LICENSE', 'cifar_models/__init__.py']
    """
    package = _package_folder(name)
    found = {f"{package.name}/LICENSE": _licence(name)}
    for path in package.rglob("*"):
        inner = path.relative_to(package.parent)
        left_out = any(part.startswith((".", "__pycache__")) for part in inner.parts) or path.suffix == ".pyc"
        if path.is_file() and not left_out:
            found[inner.as_posix()] = path.read_bytes()
    return found


def app_readme() -> tuple[str, dict[str, bytes]]:
    """Return the app's README, and the pictures that it shows and that lie beside it, by path.

    A picture that is not there, as after an installation from a wheel, is taken out of the README.

    Raises:
        OSError: If it cannot be read.
    """
    tree = _source_tree("cifar-space")
    readme = (
        str(metadata("cifar-space").json["description"]) if tree is None else (tree / "README.md").read_text()
    )
    images = {}
    for name in named_images(readme):
        path = None if tree is None else (tree / name).resolve()
        if tree is not None and path is not None and path.is_relative_to(tree) and path.is_file():
            images[name] = path.read_bytes()
        else:
            readme = without_image(readme, name)
    return readme, images


def _package_folder(name: str) -> Path:
    spec = find_spec(name.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the sources of {name} are not installed as files")
    return Path(spec.origin).resolve().parent


def _source_tree(name: str) -> Path | None:
    """Return the folder with a distribution's pyproject.toml if it is installed from its sources, else None."""
    folder = _package_folder(name).parents[1]
    return folder if (folder / "pyproject.toml").is_file() else None


def _licence(name: str) -> bytes:
    tree = _source_tree(name)
    if tree is not None:
        return (tree / "LICENSE").read_bytes()
    for file in distribution(name).files or ():
        if file.name == "LICENSE":
            return Path(str(file.locate())).read_bytes()
    raise FileNotFoundError(f"the licence of {name} is not installed with it")
