"""What every probe hands back, and how it is laid out for people."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rwsstore.tables import Table


class Report(ABC):
    """What was found: values, tables, pictures. Commands write every report in the same way."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON values; what is not finite or not defined is None."""

    def to_csv(self) -> str:
        """A heading and rows, with Unix line ends; nothing by default."""
        return ""

    @abstractmethod
    def parts(self) -> Iterable[Table | str]:
        """Tables, and lines of text between them; a line that comes first is the heading."""

    @abstractmethod
    def pictures(self) -> Mapping[str, bytes]:
        """Draw PNG files by name; a single one has the name "".

        Raises:
            MissingExtraError: matplotlib is not installed.
        """

    def text(self) -> RenderableType:
        """Lay the parts out below each other, as rich prints them."""
        shown: list[RenderableType] = []
        for part in self.parts():
            if isinstance(part, Table):
                shown.append(part)
            else:
                style, by_hand = "" if shown else "italic", part.startswith(" ")
                shown.append(Text(part, style, no_wrap=by_hand))
        return Group(*shown)
