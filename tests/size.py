"""Prints lines, modules and import floors of the project: `uv run python tests/size.py`.

The import floors of a member are the modules in its longest chain of module-level imports. A folder's `__init__` does
not count, but the modules that it imports do.
"""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent
MEMBERS = {path.parent.name: path.parent for path in sorted(ROOT.glob("*/*/src/*/py.typed"))}


def read_imports(nodes):
    """Yields what statements import, modules and names in modules, except in functions and for the type checker."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
            yield from read_imports([*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.With):
            yield from read_imports(node.body)


def imported_packages(*paths):
    """Returns the top-level names of all that Python files import, wherever in them."""
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {name.partition(".")[0] for name in read_imports(nodes)}


def longest_chain(member):
    """Returns the longest chain of imports inside a member, from the top down."""
    paths = {path.relative_to(member.parent).with_suffix("").parts: path for path in member.rglob("*.py")}
    trees = {
        ".".join(name).removesuffix(".__init__"): ast.parse(path.read_text()) for name, path in paths.items()
    }
    folders = {".".join(name[:-1]) for name in paths if name[-1] == "__init__"}

    @functools.cache
    def chain(name):
        # Importing the member's own root would be a circle.
        imports = {*read_imports(trees[name].body)} & {*trees} - {name, member.name}
        below = max(map(chain, imports), key=len, default=[])
        return below if name in folders else [name, *below]

    return max(map(chain, trees), key=len)


def count_lines(paths):
    return sum(path.read_text(encoding="utf-8").count("\n") for path in paths)


if __name__ == "__main__":
    for name, member in MEMBERS.items():
        floors = len(longest_chain(member))
        print(f"{name:<15}{count_lines(member.rglob('*.py')):>7,} lines, {floors:>2} import floors")
    modules = [path for member in MEMBERS.values() for path in member.rglob("*.py")]
    number = sum(path.stem != "__init__" for path in modules)
    print(f"{'members':<15}{count_lines(modules):>7,} lines, {number} modules")
    for name in ("benchmarks", "docs/evidence"):
        print(f"{name:<15}{count_lines(ROOT.glob(f'{name}/**/*.py')):>7,} lines")
    tests = [*ROOT.glob("tests/*.py"), *ROOT.glob("*/*/tests/**/*.py"), ROOT / "conftest.py"]
    print(f"{'tests':<15}{count_lines(tests):>7,} lines")
    print(f"{'README.md':<15}{(ROOT / 'README.md').stat().st_size:>7,} bytes")
