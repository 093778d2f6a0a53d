"""Text that stays text in Markdown, whatever characters it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# What Markdown, the HTML within it, and GitHub's extensions give a meaning to inside a line.
_MEANINGFUL = re.compile(r"[\\`*_{}\[\]<>|~^$&#!:@=]")


def one_line(text: str) -> str:
    r"""Text without line breaks and invisible characters.

    >>> one_line("a\n---\nb\x00\u202e")
    'a --- b'
    """
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def plain(text: str) -> str:
    r"""Text that Markdown shows as it is, in a sentence or in a cell of a table.

    >>> print(plain("cat|dog *sure* <b>"))
    cat\|dog \*sure\* \<b\>
    """
    return _MEANINGFUL.sub(r"\\\g<0>", one_line(text))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; the cells are Markdown already.

    >>> print(table(["class", "recall"], [["cat", "80.00 %"]]))
    | class | recall |
    |---|---|
    | cat | 80.00 % |
    """
    head, *body = (f"| {' | '.join(cells)} |" for cells in (heads, *rows))
    return "\n".join([head, "|" + "---|" * len(heads), *body])


def bullets(points: Iterable[str]) -> str:
    """A list of Markdown; the points are Markdown already.

    >>> print(bullets(["one", "two"]))
    - one
    - two
    """
    return "\n".join(f"- {point}" for point in points)
