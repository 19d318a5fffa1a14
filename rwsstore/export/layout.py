"""What a layout on disk has to say."""

__all__ = ["Layout", "Part"]

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rwsstore.export.job import Job
from rwsstore.progress import Task


@dataclass(frozen=True)
class Part:
    """What is written at once: it is there whole, or not at all.

    Attributes:
        corruption: its name.
        severities: that it holds.
        path: of its file or folder.
    """

    corruption: str
    severities: tuple[float, ...]
    path: Path


class Layout(Protocol):
    """A way to lay a corrupted data set out in files."""

    name: str
    summary: str

    def parts(self, job: Job) -> Iterable[Part]:
        """What is to be written, in order."""

    def prepare(self, job: Job) -> None:
        """Refuse what this layout cannot hold, before anything is written."""

    def write(self, job: Job, part: Part, task: Task) -> None:
        """Write one part whole, telling `task` of each image."""

    def write_common(self, job: Job) -> None:
        """Write what belongs to all parts."""
