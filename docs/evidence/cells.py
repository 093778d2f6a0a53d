"""How numbers of one or several runs, tables and sentences are written."""

import statistics
import textwrap
from collections.abc import Sequence


def share(values: Sequence[float]) -> str:
    """Return the mean of shares in [0, 1] in percent and, of several, their sample standard deviation.

    >>> share([0.9402]), share([0.9398, 0.9404])
    ('94.02 %', '94.01 ± 0.04 %')
    """
    mean = f"{100 * statistics.fmean(values):.2f}"
    if len(values) == 1:
        return f"{mean} %"
    return f"{mean} ± {100 * statistics.stdev(values):.2f} %"


def duration(seconds: float) -> str:
    """Return seconds as minutes and seconds, with hours if there are any.

    >>> duration(75.4), duration(3 * 3600 + 5)
    ('1:15', '3:00:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def durations(values: Sequence[float]) -> str:
    """Return the median of seconds and, of several, the shortest and the longest.

    >>> durations([60]), durations([60, 80, 61])
    ('1:00', '1:01 (1:00 to 1:20)')
    """
    middle = duration(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({duration(min(values))} to {duration(max(values))})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table.

    Raises:
        ValueError: If a row has another number of cells than the header.

    >>> print(table(["", "seeds"], [["`fast`", "n = 1"]]))
    |  | seeds |
    |---|---|
    | `fast` | n = 1 |
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"the row {row[0]!r} has {len(row)} cells; the header has {len(header)}")
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines
    )


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def paragraph(*sentences: str) -> str:
    """Return sentences as one paragraph in lines of at most 118 characters; empty ones are left out.

    >>> paragraph("One.", "", "Two.")
    'One. Two.'
    """
    # A number and its unit stay on one line.
    text = " ".join(filter(None, sentences)).replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.wrap(text, width=118, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}%", " %")
