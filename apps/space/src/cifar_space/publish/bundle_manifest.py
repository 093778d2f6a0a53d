"""The list of all files of a bundle, `manifest.json`, by which it is recognised and checked."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST_NAME = "manifest.json"

_FORMAT = "cifar-space-bundle"
_VERSION = 1


@dataclass(frozen=True)
class BundledFile:
    """One file of a bundle.

    Attributes:
        bytes: Its size.
        sha256: Hexadecimal SHA-256 of its content.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle consists of.

    Attributes:
        torch: The kind of machine it was built for, one of `cifar_space.publish.bundle_requirements.TORCH`.
        files: All files but the manifest itself, by path within the bundle with `/` between folders.
    """

    torch: str
    files: Mapping[str, BundledFile]

    def to_json(self) -> str:
        """Return the content of `manifest.json`; the same manifest gives the same text."""
        files = {name: vars(entry) for name, entry in sorted(self.files.items())}
        document = {"format": _FORMAT, "version": _VERSION, "torch": self.torch, "files": files}
        return json.dumps(document, indent=2) + "\n"


def describe_content(content: bytes) -> BundledFile:
    """Return the size and the hash of a file's content.

    >>> describe_content(b"abc").bytes
    3
    """
    return BundledFile(len(content), hashlib.sha256(content).hexdigest())


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Return the manifest of a bundle; the files that it lists are not looked at.

    Raises:
        FileNotFoundError: If the folder has no manifest.
        ValueError: If it is not a manifest of this version, or it names files outside the folder.
    """
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{os.fspath(folder)} is no bundle: it has no {MANIFEST_NAME}")
    try:
        return _manifest(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no manifest of a bundle: {error}") from error


def check_bundle(folder: str | os.PathLike[str]) -> Manifest:
    """Return the manifest of a bundle after reading every file that it lists.

    Files that it does not list are ignored; `foreign_files` finds them.

    Raises:
        FileNotFoundError: If the folder has no manifest, or a file is missing.
        ValueError: If the manifest is not valid, or a file is not the one that was built.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = Path(folder) / name
        if any((Path(folder) / part).is_symlink() for part in [name, *_parents(name)]):
            raise ValueError(f"{path} is a link, which no bundle has")
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; build the bundle again")
        if describe_content(path.read_bytes()) != expected:
            raise ValueError(f"{path} was changed since the bundle was built; build it again")
    return manifest


def foreign_files(folder: str | os.PathLike[str], manifest: Manifest) -> list[str]:
    """Return the paths of all files in a folder that its manifest does not list, sorted.

    What Python leaves there when the bundle is run, `__pycache__`, does not count.

    Raises:
        OSError: If the folder cannot be read.
    """
    root = Path(folder)
    found = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if (path.is_symlink() or not path.is_dir()) and "__pycache__" not in path.parts
    ]
    return sorted(set(found) - set(manifest.files) - {MANIFEST_NAME})


def _manifest(document: Any) -> Manifest:
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT!r}")
    if document.get("version") != _VERSION:
        raise ValueError(f"its version is {document.get('version')!r:.50}; only {_VERSION} is known")
    torch, files = document.get("torch"), document.get("files")
    if not isinstance(torch, str) or not isinstance(files, dict) or not files:
        raise ValueError("torch or files are missing")
    return Manifest(torch, {_inner_path(name): _bundled_file(entry) for name, entry in files.items()})


def _inner_path(name: str) -> str:
    path = PurePosixPath(name)
    # "a//b" and "./a" are other names of a file, "../a" and "/a" are files elsewhere.
    if path.is_absolute() or ".." in path.parts or path.as_posix() != name or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r:.100} is not a path within the bundle")
    return name


def _bundled_file(entry: object) -> BundledFile:
    if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
        raise ValueError("a file is not described by bytes and sha256")
    size, sha256 = entry["bytes"], entry["sha256"]
    if type(size) is not int or size < 0 or not isinstance(sha256, str):
        raise ValueError("a file's bytes or sha256 are of the wrong type")
    return BundledFile(size, sha256)


def _parents(name: str) -> list[str]:
    return [parent.as_posix() for parent in PurePosixPath(name).parents][:-1]
