"""A study's page and pictures, all of one look."""

__all__ = [
    "CLEAN",
    "COLOURS",
    "LINE",
    "PATCHED",
    "Picture",
    "Table",
    "new_figure",
    "save_figure",
    "tidy",
    "write_blocks",
    "write_page",
]

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rwsstore.drawing import new_figure, png_bytes
from rwsstore.files import make_folders, write_atomic

if TYPE_CHECKING:
    from benchmarks.paper.study import Study

CLEAN, PATCHED, LINE = "#b7bdc6", "#1f6fb2", "#444444"
"""As in `rws evaluate --png`."""

COLOURS = (PATCHED, "#d1762b", "#3f8f5b", "#8c5fa8", "#b8414b", "#7a6a53", "#2f9aa0")
"""One a curve."""


@dataclass(frozen=True)
class Table:
    """A table of a page; the first column is text, the others are numbers.

    Attributes:
        header: one word or two a column.
        rows: as wide as the header.
        title: above it; none if empty.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def lines(self) -> list[str]:
        """Markdown."""
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"a row is not as wide as the header {self.header}")
        marks = ["---", *["---:"] * (len(self.header) - 1)]
        table = ["| " + " | ".join(row) + " |" for row in (self.header, marks, *self.rows)]
        return [f"**{self.title}**", "", *table] if self.title else table


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        path: beside the page.
        words: what it shows, for those who don't see it.
    """

    path: Path
    words: str


def write_page(
    study: "Study",
    title: str,
    paragraphs: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    picture: Path | None,
) -> Path:
    """Write a page of one table and at most one picture, as `docs/paper/NAME.md`."""
    blocks: list[str | Table | Picture] = [*paragraphs, Table(header, rows)]
    if picture is not None:
        blocks.append(Picture(picture, title))
    return write_blocks(study, title, blocks)


def write_blocks(
    study: "Study",
    title: str,
    blocks: Sequence[str | Table | Picture],
    *,
    corrupted: bool = True,
) -> Path:
    """Write a page of paragraphs, tables and pictures, and the command that makes it.

    Args:
        study: whose page it is.
        title: of it.
        blocks: in their order.
        corrupted: whether images were corrupted, so that their severity is told.
    """
    parts = [f"# {title}"]
    for block in blocks:
        if isinstance(block, Table):
            parts.append("\n".join(block.lines()))
        elif isinstance(block, Picture):
            parts.append(f"![{block.words}]({block.path.name})")
        else:
            parts.append(block)
    parts.append(_origin(study, corrupted=corrupted))
    make_folders(study.docs)
    path = study.docs / f"{study.name}.md"
    write_atomic(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _origin(study: "Study", *, corrupted: bool) -> str:
    severity = f", corruptions at severity {study.settings.severity} unless said"
    return (
        f"{len(study.test):,} test images of {study.test.name}{severity if corrupted else ''}. "
        f"Made by `python -m benchmarks.paper.{study.name} "
        f"--data NAME:PATH{' --work-bundle DIR' if study.wide else ''}`; its parameters are in "
        "[paper.toml](../../benchmarks/paper/paper.toml)."
    )


def tidy(axes: Any) -> Any:
    """Take the upper and the right spine away."""
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save_figure(study: "Study", figure: Any, suffix: str = "") -> Path:
    """Write a figure as `docs/paper/NAME.png`, or `NAME-SUFFIX.png`, and return its path."""
    make_folders(study.docs)
    path = study.docs / f"{study.name}{'-' + suffix if suffix else ''}.png"
    write_atomic(path, png_bytes(figure))
    return path
