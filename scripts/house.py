"""How the house is cut: lines, files, circles, doubled names, and what runs, as a table.

    python scripts/house.py [--json] [--walks] [--static] [--root CHECKOUT]

Reads only, with the standard library. What is loaded and what runs is told by Python processes of
their own on the same interpreter; where rwsstore is not installed, those rows say so. The figures:

- a file whose first line begins with "# Generated from" is not counted: what it is made of is.
- code: lines with a token on them that is neither a comment nor part of a docstring (a string
  that stands alone as a statement).
- imports and `__all__`: lines of such statements, wherever they stand.
- a private function called once: a function or method named `_x` (not `__x`) that its own file
  refers to exactly once outside it, by name or as an attribute.
- functions: from `def` to the last line, nested ones and methods too.
- circles: a room is a package or module directly below `rwsstore` or `rwsstore_service`; it leads
  to every room that one of its files imports from, inside functions too. A circle is a largest set
  of rooms that all lead to each other.
- a name with two meanings: a public class at the top of more than one module of the library and
  the service. The SDK mirrors the wire by design and is left out.
- loaded: modules of ours in `sys.modules`, and their lines, after an import or a command.
- walks: see `walks.py`.
"""

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

PRODUCT = ("rwsstore", "service", "clients")
BESIDE = ("benchmarks", "scripts", "tests")
COMMANDS = ("store", "apply", "inspect")

_ROOMS = {"rwsstore": "rwsstore", "service": "rwsstore_service"}
_SOURCES = {"rwsstore": ".", "service": "service", "clients": "clients/python"}
_SECONDS = 300
_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)
_FACE_NAME = "__init__"
_PROBE = """
import json, sys, time
began = time.perf_counter()
try:
    {does}
except SystemExit as end:
    if end.code:
        raise
seconds = time.perf_counter() - began
ours = [module.__file__ for name, module in sys.modules.items() if name.startswith("rwsstore")]
print()
print(json.dumps({{"files": ours, "torch": "torch" in sys.modules, "seconds": seconds}}))
"""
_IMPORTS_THE_SERVICE = "import rwsstore_service.app"
_IMPORTS_A_COMMAND = """import click
    from rwsstore.cli.main import cli
    cli.get_command(click.Context(cli), {name!r})"""
_RUNS = """from rwsstore.cli.main import run
    sys.argv = ["rws", *{arguments!r}]
    run({arguments!r})"""


@dataclass(frozen=True)
class Source:
    """One Python file of the checkout, with its path below the root."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """As parsed."""
        return ast.parse(self.text)

    @cached_property
    def lines(self) -> int:
        """All of them."""
        return len(self.text.splitlines())

    @cached_property
    def code_lines(self) -> int:
        """Without docstrings, comments and blank lines."""
        lines: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in _NO_CODE:
                lines.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and _is_text(node.value):
                lines.difference_update(_span(node))
        return len(lines)

    @cached_property
    def face_lines(self) -> int:
        """Those of imports and `__all__`."""
        lines: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) and _is_face(node):
                lines.update(_span(node))
        return len(lines)

    @cached_property
    def module(self) -> str:
        """Its dotted name."""
        parts = list(Path(self.path).with_suffix("").parts)
        parts = parts[_depth(parts[0]) :]
        return ".".join(parts[:-1] if parts[-1] == _FACE_NAME else parts)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imports(self) -> Iterator[str]:
        """Modules, or names in them, as `a.b.c`; this project has no relative imports."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _depth(top: str) -> int:
    """Folders above the importable ones."""
    return len(Path(_SOURCES.get(top, ".")).parts)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_face(node: ast.Import | ast.ImportFrom | ast.Assign) -> bool:
    if not isinstance(node, ast.Assign):
        return True
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)


def _span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def sources(root: Path) -> dict[str, list[Source]]:
    """The Python files that git tracks (where there is no git: all), by folder."""
    found: dict[str, list[Source]] = {name: [] for name in (*PRODUCT, *BESIDE)}
    for path in _paths(root):
        top = path.split("/")[0]
        if top in found and (root / path).is_file():
            text = (root / path).read_text("utf-8")
            if not text.startswith("# Generated from"):
                found[top].append(Source(path, text))
    return found


def _paths(root: Path) -> list[str]:
    command = ["git", "-C", str(root), "ls-files", "*.py"]
    if (root / ".git").exists():
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        return told.stdout.splitlines()
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))


def measure(root: Path) -> dict[str, Any]:
    """What the source itself tells; the keys are those of `--json`."""
    found = sources(root)
    product = [source for name in PRODUCT for source in found[name]]
    library = found["rwsstore"]
    return {
        "lines": {name: _lines(found[name]) for name in found} | {"product": _lines(product)},
        "code_lines": {name: _code(found[name]) for name in PRODUCT} | {"product": _code(product)},
        "files": {name: len(found[name]) for name in found} | {"product": len(product)},
        "library_median_lines": statistics.median([one.lines for one in library] or [0]),
        "library_face_share": _share(sum(one.face_lines for one in library), _lines(library)),
        "library_private": private_functions(library),
        "library_functions": _functions(library),
        "product_functions": _functions(product),
        "circles": {name: circles(top, found[name]) for name, top in _ROOMS.items()},
        "two_meanings": two_meanings([*library, *found["service"]]),
        "rooms": {
            room: {"files": len(inside), "lines": _lines(inside), "code_lines": _code(inside)}
            for name, top in _ROOMS.items()
            for room, inside in _rooms(top, found[name]).items()
        },
    }


def _lines(group: Iterable[Source]) -> int:
    return sum(one.lines for one in group)


def _code(group: Iterable[Source]) -> int:
    return sum(one.code_lines for one in group)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def private_functions(group: list[Source]) -> dict[str, Any]:
    """How many there are, and how many of them their own file refers to once."""
    number = once = 0
    for source in group:
        calls = _references(source.tree)
        for function in source.functions():
            if function.name.startswith("_") and not function.name.startswith("__"):
                number += 1
                once += calls[function.name] - _references(function)[function.name] == 1
    return {"number": number, "called_once": once, "share": _share(once, number)}


def _references(tree: ast.AST) -> Counter[str]:
    names: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names[node.id] += 1
        elif isinstance(node, ast.Attribute):
            names[node.attr] += 1
    return names


def _functions(group: list[Source]) -> dict[str, Any]:
    """Lines of the middle one, of the one that nine in ten are not above, of the longest five."""
    lengths = sorted(
        (len(_span(function)), f"{source.path}:{function.name}")
        for source in group
        for function in source.functions()
    )
    sizes = [lines for lines, _ in lengths] or [0]
    return {
        "number": len(lengths),
        "median": statistics.median(sizes),
        "p90": sizes[(9 * len(sizes) - 1) // 10],
        "longest": sizes[-1],
        "longest_five": [{"name": name, "lines": lines} for lines, name in lengths[:-6:-1]],
    }


def circles(top: str, group: list[Source]) -> list[list[str]]:
    """Sets of rooms that all lead to each other, the largest first."""
    leads: dict[str, set[str]] = {}
    for room, inside in _rooms(top, group).items():
        names = {_room(top, name) for source in inside for name in source.imports()}
        leads[room] = names - {room, top, ""}
    reached = {room: _reach(room, leads) for room in leads}
    found = {
        tuple(sorted(other for other in reached[room] if room in reached.get(other, ())))
        for room in leads
    }
    return sorted(([*one] for one in found if len(one) > 1), key=lambda one: (-len(one), one))


def _rooms(top: str, group: list[Source]) -> dict[str, list[Source]]:
    rooms: dict[str, list[Source]] = defaultdict(list)
    for source in group:
        rooms[_room(top, source.module)].append(source)
    return dict(sorted(rooms.items()))


def _room(top: str, name: str) -> str:
    """The room of a module; nothing for what is not below `top`."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == top else ""


def _reach(room: str, leads: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    wanted = [room]
    while wanted:
        for other in leads.get(wanted.pop(), set()) - reached:
            reached.add(other)
            wanted.append(other)
    return reached


def two_meanings(group: list[Source]) -> dict[str, list[str]]:
    """Public classes defined in several modules, by name, with the modules."""
    modules: dict[str, list[str]] = defaultdict(list)
    for source in group:
        for name in {node.name for node in source.tree.body if isinstance(node, ast.ClassDef)}:
            if not name.startswith("_"):
                modules[name].append(source.module)
    return {name: where for name, where in sorted(modules.items()) if len(where) > 1}


def run_time(root: Path) -> dict[str, Any]:
    """What is loaded and what runs, told by processes; where one fails, its `reason`."""
    loaded = {"service": _loaded(root, _IMPORTS_THE_SERVICE)}
    for name in COMMANDS:
        loaded[f"rws {name}"] = _loaded(root, _IMPORTS_A_COMMAND.format(name=name))
    for arguments in (*([name, "--help"] for name in COMMANDS), ["store", "ls"]):
        loaded[f"rws {' '.join(arguments)}"] = _loaded(root, _RUNS.format(arguments=arguments))
    walker = Path(__file__).with_name("walks.py")
    return {"loaded": loaded, "walks": _told(root, [str(walker), str(root)])}


def _loaded(root: Path, does: str) -> dict[str, Any]:
    told = _told(root, ["-c", _PROBE.format(does=does)])
    if "reason" in told:
        return told
    files = [Path(name) for name in told.pop("files")]
    strange = [str(path) for path in files if not path.is_relative_to(root)]
    if strange:
        return {"reason": f"{strange[0]} was loaded, from outside the checkout"}
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in files)
    return {"modules": len(files), "lines": lines, **told}


def _told(root: Path, arguments: list[str]) -> dict[str, Any]:
    """The JSON on the last line that Python prints, or the reason why there is none."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RWS_")},
            "PYTHONPATH": os.pathsep.join(str(root / place) for place in _SOURCES.values()),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": home,
            "XDG_DATA_HOME": home,
        }
        try:
            ended = subprocess.run(
                [sys.executable, *arguments],
                cwd=home,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return {"reason": f"not done after {_SECONDS} s"}
    if ended.returncode:
        return {"reason": (ended.stderr.strip() or "it failed").splitlines()[-1]}
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def page(told: dict[str, Any], *, walks: bool) -> str:
    """The figures as text, 80 columns wide."""
    blocks = [_figures(told), _longest(told), _found(told), _room_table(told["rooms"])]
    if "loaded" in told:
        blocks.append(_loaded_table(told["loaded"]))
        blocks.append(_walk_table(told["walks"], listed=walks))
    return "\n\n".join("\n".join(block) for block in blocks)


def _figures(told: dict[str, Any]) -> list[str]:
    lines, code, private = told["lines"], told["code_lines"], told["library_private"]
    rows = [("", "files", "lines", "code")]
    for name in ("product", *PRODUCT, *BESIDE):
        own = f"{code[name]:,}" if name in code else ""
        rows.append((name, str(told["files"][name]), f"{lines[name]:,}", own))
    figures = [
        ("lines a file of rwsstore, median", f"{told['library_median_lines']:g}"),
        ("imports and __all__, share of its lines", f"{told['library_face_share']:.1%}"),
        (f"private functions called once, of {private['number']}", f"{private['share']:.1%}"),
    ]
    for whose in ("library", "product"):
        sizes = told[f"{whose}_functions"]
        sizes = f"{sizes['median']:g} / {sizes['p90']} / {sizes['longest']}"
        figures.append((f"lines a function of the {whose}, median / p90 / longest", sizes))
    return [*_columns(rows), "", *_columns(figures)]


def _longest(told: dict[str, Any]) -> list[str]:
    longest = told["product_functions"]["longest_five"]
    return ["Longest functions", *_columns([(one["name"], str(one["lines"])) for one in longest])]


def _found(told: dict[str, Any]) -> list[str]:
    text = []
    for name, found in told["circles"].items():
        text.append(f"Circles between packages of {name}: {len(found)}")
        for circle in found:
            names = ", ".join(room.partition(".")[2] for room in circle)
            text += _wrapped(f"{len(circle)}: {names}")
    names = told["two_meanings"]
    return [
        *text,
        f"Public class names with two meanings: {len(names)}",
        *_wrapped(", ".join(names)),
    ]


def _room_table(rooms: dict[str, dict[str, int]]) -> list[str]:
    rows = [("Room", "files", "lines", "code")]
    for room, one in rooms.items():
        rows.append((room, f"{one['files']}", f"{one['lines']:,}", f"{one['code_lines']:,}"))
    return _columns(rows)


def _loaded_table(loaded: dict[str, dict[str, Any]]) -> list[str]:
    rows = [("Loaded by", "modules", "lines", "torch", "seconds")]
    reasons = []
    for name, one in loaded.items():
        if "reason" in one:
            rows.append((name, "-", "-", "-", "-"))
            reasons += _wrapped(f"{name}: {one['reason']}")
            continue
        torch = "yes" if one["torch"] else "no"
        lines = f"{one['lines']:,}"
        rows.append((name, str(one["modules"]), lines, torch, f"{one['seconds']:.1f}"))
    return [*_columns(rows), *reasons]


def _walk_table(walks: dict[str, Any], *, listed: bool) -> list[str]:
    rows = [("Walk", "files", "frames")]
    if "reason" in walks:
        return [*_columns([*rows, ("all", "-", "-")]), *_wrapped(walks["reason"])]
    rows += [(name, str(len(one["files"])), str(one["depth"])) for name, one in walks.items()]
    files = [f"  {name}: {file}" for name, one in walks.items() for file in one["files"]]
    return [*_columns(rows), *(files if listed else [])]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first to the left, figures to the right of theirs."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *figures in rows:
        cells = [name.ljust(widths[0]), *map(str.rjust, figures, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="  ")


def main() -> None:
    """Measure a checkout and print what was found."""
    options = argparse.ArgumentParser(description="Measure how the source is cut, and what runs.")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--walks", action="store_true", help="list the files of the walks")
    options.add_argument("--static", action="store_true", help="only read: start nothing")
    options.add_argument("--root", type=Path, default=Path(__file__).parents[1], metavar="CHECKOUT")
    given = options.parse_args()
    root = given.root.resolve()
    told = measure(root)
    if not given.static:
        told |= run_time(root)
    print(json.dumps(told, indent=2) if given.json else page(told, walks=given.walks))


if __name__ == "__main__":
    main()
