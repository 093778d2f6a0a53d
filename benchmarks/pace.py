"""Counting images per second of a training, start-up and first steps left out."""

import time
from collections.abc import Callable


class Pace:
    """Counts steps and images from the end of a warm-up on, and says when it has seen enough.

    Args:
        warmup: Steps that do not count, at least 1: caches are cold, and kernels are chosen in them.
        steps: Steps to count, at least 1; no limit if None.
        seconds: Time to count, above 0; no limit if None. What is reached first ends it.
        clock: Gives the time in seconds.

    Attributes:
        steps: Steps counted.
        images: Images counted.
        seconds: From the end of the warm-up to the end of the last step.

    Raises:
        ValueError: If a value is out of its range, or neither steps nor seconds is given.

    >>> times = iter([0.0, 1.0, 3.0])
    >>> pace = Pace(warmup=1, steps=2, clock=lambda: next(times))
    >>> [pace.step(6) for _ in range(3)]
    [False, False, True]
    >>> pace.images, pace.seconds, pace.images_per_second
    (12, 3.0, 4.0)
    """

    def __init__(
        self,
        *,
        warmup: int = 3,
        steps: int | None = None,
        seconds: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if warmup < 1:
            raise ValueError(f"warmup is {warmup}; it must be at least 1")
        if steps is None and seconds is None:
            raise ValueError("steps or seconds must be given, or it would never end")
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}; it must be at least 1")
        if seconds is not None and not seconds > 0:
            raise ValueError(f"seconds is {seconds}; it must be above 0")
        self.steps = 0
        self.images = 0
        self.seconds = 0.0
        self._warmup = warmup
        self._limits = (steps, seconds)
        self._clock = clock
        self._started = 0.0

    def step(self, images: int) -> bool:
        """Count the step that has just ended, with its images; return whether that is enough."""
        now = self._clock()
        if self._warmup:
            self._warmup -= 1
            self._started = now
            return False
        self.steps += 1
        self.images += images
        self.seconds = now - self._started
        steps, seconds = self._limits
        return (steps is not None and self.steps >= steps) or (
            seconds is not None and self.seconds >= seconds
        )

    @property
    def images_per_second(self) -> float:
        """Mean over what was counted.

        Raises:
            ValueError: If the training ended within the warm-up.
        """
        if not self.steps:
            raise ValueError("no step was counted: the training ended within the warm-up")
        return self.images / self.seconds

    def result(self) -> dict[str, float | int]:
        """Return what was counted, for a report. Raises as `images_per_second` does."""
        return {
            "steps": self.steps,
            "images": self.images,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
        }
