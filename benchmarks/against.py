"""Has this code become slower than that of another checkout? Rows of serving.py, taking turns.

    python benchmarks/against.py OLD [--rows switch_vs_copy,…] [--turns 5] [--json]

OLD is a checkout of the other commit (git worktree add OLD COMMIT). Each turn runs the rows once
with the old code and once with the new, in processes of their own and in changing order, so that
whatever slows the machine down slows both. A row's figure is a ratio itself (a switch against a
plain copy, REST against the bare ceiling); what is shown is the new figure over the old one, turn
by turn. The same interpreter runs both. Every turn's rows go to standard error as they come, so a
run that is cut leaves its figures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from rwsstore.progress import ConsoleReporter
from rwsstore.tables import Table

NEW = Path(__file__).parents[1]
ROWS = "switch_vs_copy,compose10_vs_copy,mixed8_vs_single,rest_vs_ceiling,p99_under_changes"
HIGHER_IS_BETTER = frozenset({"mixed8_vs_single", "rest_vs_ceiling"})
Turn = tuple[Mapping[str, float], Mapping[str, float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Take turns, show; 0 unless a row could not be measured."""
    options = _parser().parse_args(arguments)
    old = options.old.resolve()
    if not (old / "benchmarks" / "serving.py").is_file():
        _parser().error(
            f"{old} holds no benchmarks/serving.py; expected a checkout of this project"
        )
    turns: list[Turn] = []
    with ConsoleReporter().task("turns", total=options.turns) as task:
        for number in range(options.turns):
            order = (old, NEW) if number % 2 == 0 else (NEW, old)
            found = {root: _measure(root, options.rows, options.repeats) for root in order}
            before, after = found[old], found[NEW]
            for row, figure in after.items():
                ratio = figure / before[row]
                print(
                    f"turn {number + 1}: {row}: old {before[row]:.4g}, new {figure:.4g}, "
                    f"new / old {ratio:.3f}",
                    file=sys.stderr,
                    flush=True,
                )
            turns.append((before, after))
            task.advance()
    if options.json:
        print(json.dumps([{"old": dict(before), "new": dict(after)} for before, after in turns]))
    else:
        Console().print(_table(turns))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("old", type=Path, help="a checkout of the other commit")
    parser.add_argument("--rows", metavar="A,B", default=ROWS, help=f"of serving.py; {ROWS}")
    parser.add_argument("--turns", type=int, default=5, help="of both; 5")
    parser.add_argument("--repeats", type=int, help="timed turns of a row within a turn")
    parser.add_argument("--json", action="store_true", help="print the figures of every turn")
    return parser


def _measure(root: Path, rows: str, repeats: int | None) -> dict[str, float]:
    """Run the rows with the code of one checkout; the figure of each."""
    command = [sys.executable, "benchmarks/serving.py", "--json", "--rows", rows]
    if repeats is not None:
        command += ["--repeats", str(repeats)]
    sources = os.pathsep.join(str(root / part) for part in ("", "service", "clients/python"))
    environment = {**os.environ, "PYTHONPATH": sources}
    done = subprocess.run(
        command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return {row: float(answer[row]["ratio"]) for row in rows.split(",")}


def _table(turns: Sequence[Turn]) -> Table:
    rows = []
    for row in turns[0][0]:
        ratios = sorted(after[row] / before[row] for before, after in turns)
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rows.append(
            (
                row,
                "higher" if row in HIGHER_IS_BETTER else "lower",
                f"{statistics.median(before[row] for before, _ in turns):.3g}",
                f"{statistics.median(after[row] for _, after in turns):.3g}",
                f"{statistics.median(ratios):.3f}",
                f"{low:.3f} to {high:.3f}",
            )
        )
    return Table.of(("row", "better", "old", "new", "new / old", "quartiles"), rows, left=2)


if __name__ == "__main__":
    sys.exit(main())
