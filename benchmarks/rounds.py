"""Measuring in interleaved rounds, and saying what came out: medians, spreads, ratios, Markdown."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def interleave(rivals: Mapping[str, Callable[[], T]], *, rounds: int) -> dict[str, list[T]]:
    """Let the rivals take turns, and turns at going first, so that a busy machine burdens all alike.

    Returns:
        What each rival returned in each round.

    Raises:
        ValueError: If there are no rounds.

    >>> order = []
    >>> interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    {'a': [None, None], 'b': [None, None]}
    >>> order
    ['a', 'b', 'b', 'a']
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; it must be at least 1")
    results: dict[str, list[T]] = {name: [] for name in rivals}
    for number in range(rounds):
        for name in reversed(rivals) if number % 2 else rivals:
            results[name].append(rivals[name]())
    return results


def ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return `values / base` round by round: what slows a whole round down drops out.

    Raises:
        ValueError: If they are of different lengths.

    >>> ratios([2.0, 6.0], [1.0, 2.0])
    [2.0, 3.0]
    """
    return [value / other for value, other in zip(values, base, strict=True)]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the median and, of several values, lowest and highest.

    >>> spread([3.0, 1.0, 2.0], 1), spread([1234.5])
    ('2.0 (1.0 to 3.0)', '1,234')
    """
    middle = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def mean_and_deviation(values: Sequence[float], digits: int = 2) -> str:
    """Return the mean and, of several values, the sample's standard deviation.

    >>> mean_and_deviation([1.0, 3.0]), mean_and_deviation([1.0])
    ('2.00 ± 1.41', '1.00')
    """
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def summarize(values: Sequence[float]) -> dict[str, float | int]:
    """Return median, lowest, highest and number, for a report.

    >>> summarize([1.0, 4.0])
    {'median': 2.5, 'lowest': 1.0, 'highest': 4.0, 'n': 2}
    """
    middle = float(statistics.median(values))
    return {"median": middle, "lowest": min(values), "highest": max(values), "n": len(values)}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is left-aligned, numbers to the right.

    Raises:
        ValueError: If a row has not as many cells as the header.

    >>> print(markdown_table(["what", "s"], [["a", "1.0"], ["long", "12.0"]]))
    | what |    s |
    |:-----|-----:|
    | a    |  1.0 |
    | long | 12.0 |
    """
    lines = [list(header), *(list(row) for row in rows)]
    for cells in lines:
        if len(cells) != len(header):
            raise ValueError(f"the row {cells} has {len(cells)} cells; the header has {len(header)}")
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        "-" * (width + 1) + ":" if i else ":" + "-" * (width + 1) for i, width in enumerate(widths)
    )
    return "\n".join([line(lines[0]), f"|{rule}|", *map(line, lines[1:])])
