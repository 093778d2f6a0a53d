"""Errors of the parser, in one line that says what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence


def explain_error(message: str, *, known: Sequence[str]) -> str:
    """A parser's message with the nearest valid field names added, on one line.

    Args:
        message: What jsonargparse says.
        known: All field names, as in `trainer.max_epochs`.

    >>> explain_error("unrecognized arguments: --trainer.max_epoch 3", known=["trainer.max_epochs", "model.lr"])
    'there is no field trainer.max_epoch; did you mean trainer.max_epochs?'
    >>> explain_error("Group 'model' does not accept option 'rl'", known=["trainer.max_epochs", "model.lr"])
    'there is no field model.rl; did you mean model.lr?'
    """
    if found := re.match(r"unrecognized arguments: (?:--)?([^\s=]+)", message):
        return _no_field(found[1], known)
    if found := re.match(r"Group '(.+)' does not accept option '(.+)'", message):
        return _no_field(f"{found[1]}.{found[2]}", known)
    if found := re.match(r'Parser key "(?P<key>.+?)":\s*(?P<rest>.*)', message, re.DOTALL):
        # Of a union's alternatives the first is what was meant; the others say only that it is not None.
        reasons = re.findall(r"^\s*- (.+)$", found["rest"], re.MULTILINE)
        reason = reasons[-2] if len(reasons) > 1 else " ".join(found["rest"].split())
        given = re.search(r"Given value: (.+)", found["rest"])
        value = f"; got {given[1]}" if given and "got" not in reason.lower() else ""
        return f"{found['key']}: {reason}{value}"
    return " ".join(message.split())


def _no_field(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    # A right last part below a wrong group is the commonest slip.
    near = near or [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]][:2]
    hint = f"did you mean {' or '.join(near)}?" if near else "see --help for all fields"
    return f"there is no field {name}; {hint}"
