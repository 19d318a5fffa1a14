"""What an export did."""

__all__ = ["ExportReport"]

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        manifest: what was written down in the folder.
        written: files or folders that were made, relative to the folder.
        kept: that were complete already.
        unchanged: corruption, severity and the number of images that came out as they went in, of
            what was written now.
    """

    manifest: dict[str, Any]
    written: tuple[str, ...]
    kept: tuple[str, ...]
    unchanged: tuple[tuple[str, float, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "manifest": self.manifest,
            "written": list(self.written),
            "kept": list(self.kept),
            "unchanged": [
                {"corruption": name, "severity": severity, "images": count}
                for name, severity, count in self.unchanged
            ],
        }
