"""The command `python docs/evidence`: what the repository shows and ships of finished runs, written anew."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(args: Sequence[str] | None = None) -> int:
    """Do what the arguments say; return 0, 1 if `readme --check` finds a difference, or 2 after an error."""
    given = _parser().parse_args(args)
    try:
        return given.do(given)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"evidence: {error}", file=sys.stderr)
        return 2


# torch takes seconds to import; --help and a wrong word are answered at once.


def _readme(given: argparse.Namespace) -> int:
    import readme

    if given.check:
        difference = readme.difference(given.root)
        print(difference, end="")
        return 1 if difference else 0
    print("README.md  written anew" if readme.write(given.root) else "README.md  as it was")
    return 0


def _record(given: argparse.Namespace) -> int:
    import shipping

    with tempfile.TemporaryDirectory() as folder:
        files: shipping.Files = {}
        for number, run in enumerate(given.runs):
            work = Path(folder, str(number))
            work.mkdir()
            files |= shipping.record(run, work, row=given.row)
        return _install(files, given.root, Path(folder))


def _ship(given: argparse.Namespace) -> int:
    import readme
    import screenshot
    import shipping

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files = shipping.ship(given.run, work, demo=not given.weights_only)
        if not given.weights_only and given.screenshot:
            screenshot.take(files[readme.ASSETS / "model.safetensors"], work / "screenshot.png")
            files[Path("apps/space/screenshot.png")] = work / "screenshot.png"
        return _install(files, given.root, work)


def _install(files: dict[Path, Path], root: Path, work: Path) -> int:
    import shipping

    changed = shipping.install(shipping.with_readme(files, root, work), root)
    print("\n".join(map(str, changed)) or "everything is as it was")
    return 0


def _screenshot(given: argparse.Namespace) -> int:
    import readme
    import screenshot

    screenshot.take(
        given.root / readme.ASSETS / "model.safetensors", given.root / "apps/space/screenshot.png"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python docs/evidence", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this one)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser(
        "readme", help="write the README's generated parts from docs/results and the demo's files"
    )
    one.add_argument(
        "--check", action="store_true", help="write nothing; show what would change, and exit with 1"
    )
    one.set_defaults(do=_readme)
    one = commands.add_parser("record", help="put finished runs into the table of results")
    one.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run directories of cifar-train")
    one.add_argument("--row", metavar="NAME", help="their row, RECIPE-VARIANT (default: the recipe)")
    one.set_defaults(do=_record)
    one = commands.add_parser(
        "ship", help="make a finished run the demo: weights, gallery, report, card, picture"
    )
    one.add_argument("run", type=Path, metavar="RUN", help="a run directory of cifar-train")
    one.add_argument(
        "--weights-only", action="store_true", help="leave the demo; only weights/ and the results"
    )
    one.add_argument(
        "--no-screenshot", dest="screenshot", action="store_false", help="keep the picture of the app"
    )
    one.set_defaults(do=_ship)
    one = commands.add_parser("screenshot", help="take the picture of the app that serves the demo's weights")
    one.set_defaults(do=_screenshot)
    return parser
