"""One style of progress bar for decoding and downloading."""

import sys
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]


class ProgressBar(tqdm):
    """A bar on stderr that starts no thread of its own."""

    # tqdm's monitor thread would outlive the bar, and forking loader workers beside a thread is unsafe.
    monitor_interval = 0


def progress_bar(
    total: int | None, *, unit: str, description: str, enabled: bool, **options: Any
) -> ProgressBar:
    """Return a bar on stderr, to be used in a `with` statement; a disabled one shows nothing.

    >>> with progress_bar(2, unit="image", description="Decoding", enabled=False) as bar:
    ...     bar.update(2)
    """
    return ProgressBar(
        total=total,
        unit=unit,
        desc=description,
        disable=not enabled,
        file=sys.stderr,
        mininterval=0.5,
        **options,
    )
