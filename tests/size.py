"""Prints lines, modules and import floors of the project: `uv run python tests/size.py`.

The import floors of a member are the modules in its longest chain of module-level imports. A room's `__init__` does
not count, but the modules that it imports do.
"""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent
MEMBERS = {path.parent.name: path.parent for path in sorted(ROOT.glob("*/*/src/*/py.typed"))}


def imported_at_start(body):
    """Yields what module-level statements import, modules and names in modules, except for the type checker."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from imported_at_start([*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.With):
            yield from imported_at_start(node.body)


def longest_chain(member):
    """The longest chain of imports inside a member, from the top down."""
    paths = {path.relative_to(member.parent).with_suffix("").parts: path for path in member.rglob("*.py")}
    trees = {
        ".".join(name).removesuffix(".__init__"): ast.parse(path.read_text()) for name, path in paths.items()
    }
    rooms = {".".join(name[:-1]) for name in paths if name[-1] == "__init__"}

    @functools.cache
    def chain(name):
        # Importing the member's own root would be a circle.
        imports = {*imported_at_start(trees[name].body)} & {*trees} - {name, member.name}
        below = max(map(chain, imports), key=len, default=[])
        return below if name in rooms else [name, *below]

    return max(map(chain, trees), key=len)


def count_lines(paths):
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


if __name__ == "__main__":
    modules = [path for member in MEMBERS.values() for path in member.rglob("*.py")]
    floors = {name: len(longest_chain(member)) for name, member in MEMBERS.items()}
    for name, member in MEMBERS.items():
        print(f"{name:<15}{count_lines(member.rglob('*.py')):>7,} lines, {floors[name]:>2} import floors")
    print(
        f"{'members':<15}{count_lines(modules):>7,} lines, {sum(p.stem != '__init__' for p in modules)} modules"
    )
    for name in ("benchmarks", "docs/evidence"):
        print(f"{name:<15}{count_lines(ROOT.glob(f'{name}/**/*.py')):>7,} lines")
    tests = [*ROOT.glob("tests/*.py"), *ROOT.glob("*/*/tests/**/*.py"), ROOT / "conftest.py"]
    print(f"{'tests':<15}{count_lines(tests):>7,} lines")
    print(f"{'README.md':<15}{(ROOT / 'README.md').stat().st_size:>7,} bytes")
