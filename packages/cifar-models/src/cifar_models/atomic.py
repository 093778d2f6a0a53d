"""Files that are never seen half written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_at_once(path: Path, data: bytes | memoryview) -> None:
    """Writes a file so that a reader at any moment finds all of the old content or all of the new."""
    # Beside `path`, for a rename within one file system. Not tempfile: its files are readable by their owner only.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
