"""The parts of the README that are written by a program, each between two comments that its page does not show."""

import re
from collections.abc import Mapping

_REGION = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end of \w[\w-]* -->)", re.DOTALL
)
_MARK = re.compile(r"<!-- (generated:|end of) ([\w-]+) -->")


def fill(text: str, contents: Mapping[str, str]) -> str:
    r"""Return the text with the content of each region replaced.

    Args:
        text: With `<!-- generated: NAME -->` and `<!-- end of NAME -->` around each region.
        contents: By name.

    Raises:
        ValueError: If a region is missing, there twice, not closed, or of an unknown name.

    >>> fill("<!-- generated: a -->\nold\n<!-- end of a -->", {"a": "new"}).splitlines()
    ['<!-- generated: a -->', '', 'new', '', '<!-- end of a -->']
    """
    marks = _MARK.findall(text)
    names = dict.fromkeys(name for _, name in marks)
    if marks != [(kind, name) for name in names for kind in ("generated:", "end of")] or set(names) != set(
        contents
    ):
        found = ", ".join(" ".join(mark) for mark in marks) or "no marks"
        raise ValueError(
            f"the text has {found}; it needs one region, begun and ended, for each of {list(contents)}"
        )
    # Blank lines, since Markdown takes what follows a comment at once for a part of it.
    return _REGION.sub(
        lambda found: f"{found['begin']}\n{contents[found['name']].strip()}\n\n{found['end']}", text
    )
