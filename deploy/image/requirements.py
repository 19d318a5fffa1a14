"""Split what rwsstore needs into torch.txt and rest.txt, so that each is installed in a layer.

The torch wheels come from an index of their own and are most of the image: their layer is made
anew only where their two lines change, not with every change of the project.

Usage: python requirements.py pyproject.toml [extra ...]
"""

__all__ = ["main", "split"]

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

TORCH = ("torch==", "torchvision==")


def split(project: str, extras: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give the requirements of a pyproject.toml with extras: torch's, and all others.

    Raises:
        KeyError: there is no such extra.
    """
    table = tomllib.loads(project)["project"]
    wanted = [*table["dependencies"]]
    for extra in extras:
        wanted += table["optional-dependencies"][extra]
    torch = [line for line in wanted if line.startswith(TORCH)]
    return torch, [line for line in wanted if line not in torch]


def main(arguments: Sequence[str]) -> None:
    """Write both files into the current folder."""
    project, *extras = arguments
    torch, rest = split(Path(project).read_text(encoding="utf-8"), extras)
    Path("torch.txt").write_text("\n".join(torch) + "\n", encoding="utf-8")
    Path("rest.txt").write_text("\n".join(rest) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
