"""Writing files that are never seen half written."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_at_once(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that whoever opens it, at any moment, sees all of the old one or all of the new.

    It is written beside `path`, so that the last step is a rename within one file system, and reaches the disk before
    it takes the name.

    Raises:
        OSError: If it cannot be written; what was there is left as it was.
    """
    # Not tempfile: its files are readable by their owner only, and would stay so.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
