"""Progress bars for everything that takes longer than a moment.

Library functions take a `Reporter` and tell it how far they are; they never print. The command
line hands in `ConsoleReporter`, which draws bars on standard error; the default is `SILENT`.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich import progress as bars
from rich.console import Console


class Task(Protocol):
    """A piece of work whose steps are counted."""

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        """Count `steps` more as done; a `note` replaces the short text behind the bar."""


class Reporter(Protocol):
    """Where long work says how far it is."""

    def task(self, description: str, *, total: int) -> AbstractContextManager[Task]:
        """Open a task of `total` steps; it closes with the block."""


class _SilentTask:
    def advance(self, steps: int = 1, *, note: str = "") -> None:
        pass


class _SilentReporter:
    @contextmanager
    def task(self, description: str, *, total: int) -> Iterator[Task]:  # noqa: ARG002
        yield _SilentTask()


SILENT: Reporter = _SilentReporter()
"""The reporter that says nothing."""


class _ConsoleTask:
    def __init__(self, progress: bars.Progress, task: bars.TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self._progress.update(self._task, advance=steps)
        if note:
            self._progress.update(self._task, note=note)


class _LineTask:
    """Tells a log file at each tenth."""

    def __init__(self, console: Console, description: str, total: int) -> None:
        self._console, self._description, self._total = console, description, total
        self._done, self._note, self._told = 0, "", 0

    def advance(self, steps: int = 1, *, note: str = "") -> None:
        self._done += steps
        self._note = note or self._note
        tenth = 10 * self._done // max(1, self._total)
        # A note without steps sums up what went before, so it is worth a line of its own.
        if tenth > self._told or (note and not steps):
            self._told = tenth
            line = f"{self._description} {self._done}/{self._total} {self._note}".rstrip()
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
            self._note = ""


class ConsoleReporter:
    """Draws a bar for each task on a console; a finished one leaves a single line.

    Where the console is no terminal (a log file, a pipe) a line is written at each tenth of a
    task instead, so that whoever reads it sees that work goes on.

    Args:
        console: where to draw; standard error by default, so that results on standard output
            stay clean.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    @contextmanager
    def task(self, description: str, *, total: int) -> Iterator[Task]:
        """Open a task of `total` steps; it closes with the block."""
        if not self._console.is_terminal:
            yield _LineTask(self._console, description, total)
            return
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(bar_width=24),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(elapsed_when_finished=True),
            bars.TextColumn("[dim]{task.fields[note]}"),
        )
        with bars.Progress(*columns, console=self._console) as progress:
            yield _ConsoleTask(progress, progress.add_task(description, total=total, note=""))
