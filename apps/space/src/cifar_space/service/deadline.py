"""The time that one request may take."""

import time
from collections.abc import Callable

from cifar_space.service.requests import RequestError

#: Called with the share of the work that is done, in [0, 1], and what is being done.
Progress = Callable[[float, str], None]


class Deadline:
    """Tells the progress of one request, picture by picture, and ends it when its time is over.

    Args:
        seconds: How long it may take from now on.
        count: How many pictures there are.
        progress: Told about the progress.

    >>> deadline = Deadline(60, 4, lambda share, text: print(share, text))
    >>> deadline.start(2)
    0.5 picture 3 of 4
    >>> deadline.step(1, 2)
    0.625 picture 3 of 4
    """

    def __init__(self, seconds: float, count: int, progress: Progress | None = None) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._count = count
        self._number = 0
        self._progress = progress

    def start(self, number: int) -> None:
        """Begin with the picture of this number, counted from 0. Raises as `step` does."""
        self._number = number
        self.step(0, 1)

    def step(self, done: int, steps: int) -> None:
        """Tell how many of the present picture's steps are done.

        Raises:
            RequestError: If the time is over.
        """
        if time.monotonic() > self._end:
            raise RequestError(
                f"this took more than {self._seconds:g} seconds and was stopped; "
                "choose fewer pictures or layers, or a quicker method"
            )
        if self._progress is not None:
            share = (self._number + done / steps) / self._count
            self._progress(share, f"picture {self._number + 1} of {self._count}")
