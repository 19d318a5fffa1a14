"""What users saw when it was frozen: one JSON file a surface, made for readable diffs."""

__all__ = ["read", "write"]

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "frozen"


def read(surface: str) -> Any:
    """Read the frozen file of a surface."""
    return json.loads(_path(surface).read_text(encoding="utf-8"))


def write(surface: str, content: Any) -> Path:
    """Freeze a surface anew and say where."""
    path = _path(surface)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _path(surface: str) -> Path:
    return _FOLDER / f"{surface}.json"
