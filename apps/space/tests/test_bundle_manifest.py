import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_space.publish.bundle_manifest import (
    MANIFEST_NAME,
    BundledFile,
    Manifest,
    check_bundle,
    describe_content,
    read_manifest,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("app.py", "a/b.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    write(tmp_path, {name: describe_content(name.encode()) for name in ("app.py", "a/b.txt")})
    return tmp_path


def write(folder: Path, files: dict[str, BundledFile]) -> None:
    (folder / MANIFEST_NAME).write_text(Manifest("cpu", files).to_json())


def test_a_whole_bundle_passes(folder: Path) -> None:
    assert sorted(check_bundle(folder).files) == ["a/b.txt", "app.py"]


names = st.lists(
    st.text("ab-_.é", min_size=1, max_size=5).filter(lambda part: part not in (".", "..")), min_size=1
)


@given(st.dictionaries(names.map("/".join), st.builds(BundledFile, st.integers(0), st.text()), min_size=1))
def test_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, BundledFile]
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    write(folder, files)
    assert read_manifest(folder) == Manifest("cpu", files)


@pytest.mark.parametrize("name", ["app.py", "a/b.txt"])
def test_a_changed_or_missing_file_is_told(folder: Path, name: str) -> None:
    (folder / name).write_text("changed")
    with pytest.raises(ValueError, match=f"{name} was changed"):
        check_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        check_bundle(folder)


@pytest.mark.parametrize("name", ["app.py", "a"])
def test_links_are_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    elsewhere = (folder / name).rename(tmp_path_factory.mktemp("elsewhere") / name)
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(ValueError, match="is a link"):
        check_bundle(folder)


@pytest.mark.parametrize("name", ["../b", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\\b", "a\0", "a/"])
def test_paths_that_lead_elsewhere_are_refused(folder: Path, name: str) -> None:
    write(folder, {name: BundledFile(1, "0")})
    with pytest.raises(ValueError, match="not a path within the bundle"):
        read_manifest(folder)


FILES = {"a": {"bytes": 1, "sha256": "0"}}
GOOD: dict[str, Any] = {"format": "cifar-space-bundle", "version": 1, "torch": "cpu", "files": FILES}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "format"),
        (GOOD | {"format": "x"}, "format"),
        (GOOD | {"version": 2}, "version is 2; only 1"),
        (GOOD | {"torch": None}, "torch or files"),
        (GOOD | {"files": {}}, "torch or files"),
        (GOOD | {"files": {"a": 1}}, "bytes and sha256"),
        (GOOD | {"files": {"a": {"bytes": -1, "sha256": "0"}}}, "wrong type"),
        (GOOD | {"files": {"a": {"bytes": True, "sha256": "0"}}}, "wrong type"),
        (GOOD | {"files": {"a": {"bytes": 1, "sha256": 0}}}, "wrong type"),
    ],
    ids=str,
)
def test_documents_that_are_no_manifests(tmp_path: Path, document: object, told: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(ValueError, match=told):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"{"])
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ValueError, match="is no manifest of a bundle"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no bundle: it has no manifest\.json"):
        check_bundle(tmp_path)
