"""The command `python docs/evidence`: results, documents and shipped weights, written from finished runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOT = Path("apps/space/screenshot.png")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 if `write --check` finds a change, or 2 after an error."""
    given = _parser().parse_args(args)
    # torch takes seconds to import; --help is answered at once.
    import documents
    import screenshot
    import shipping

    try:
        if given.command == "screenshot":
            screenshot.take(given.root / documents.ASSETS / "model.safetensors", given.root / SCREENSHOT)
        elif given.command == "write" and given.check:
            texts = documents.render(given.root).items()
            changed = [place for place, text in texts if (given.root / place).read_text("utf-8") != text]
            print(*changed, sep="\n")
            return int(bool(changed))
        else:
            with documents.staged(given.root) as stage:
                if given.command == "record":
                    for run in given.runs:
                        shipping.record(run, stage, row=given.row)
                elif given.command == "ship":
                    shipping.ship(given.run, stage, app=not given.weights_only)
                    if not given.weights_only and given.screenshot:
                        screenshot.take(stage / documents.ASSETS / "model.safetensors", stage / SCREENSHOT)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python docs/evidence", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this one)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("write", help="write the generated parts of README.md and docs/RESULTS.md")
    one.add_argument("--check", action="store_true", help="write nothing, name what would change")
    one = commands.add_parser("record", help="add finished runs to the results")
    one.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directories of cifar-train")
    one.add_argument("--row", metavar="NAME", help="their row, RECIPE-VARIANT (default: the recipe)")
    one = commands.add_parser("ship", help="give the app a run's weights, gallery, report and screenshot")
    one.add_argument("run", type=Path, metavar="RUN", help="a run directory of cifar-train")
    one.add_argument("--weights-only", action="store_true", help="update only weights/ and the results")
    one.add_argument("--no-screenshot", dest="screenshot", action="store_false", help="keep the screenshot")
    commands.add_parser("screenshot", help="take a screenshot of the app; needs chromium")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
