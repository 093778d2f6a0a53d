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
