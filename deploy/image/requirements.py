"""Split what rwsstore needs into torch.txt and rest.txt, so that each is installed in a layer.

The torch wheels come from an index of their own and are most of the image: their layer is made
anew only where their two lines change, not with every change of the project.

What the SDK needs is among it; the SDK itself is installed from this repository, as rwsstore is.

Usage: python requirements.py pyproject.toml client.toml [extra ...]
"""

__all__ = ["main", "split"]

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

TORCH = ("torch==", "torchvision==")


def split(project: str, client: str, extras: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give what a pyproject.toml with extras and the SDK's need: torch's, and all others.

    Raises:
        KeyError: there is no such extra.
    """
    table, sdk = tomllib.loads(project)["project"], tomllib.loads(client)["project"]
    wanted = {*table["dependencies"], *sdk["dependencies"]}
    for extra in extras:
        wanted.update(table["optional-dependencies"][extra])
    wanted.discard(f"{sdk['name']}=={sdk['version']}")
    torch = sorted(line for line in wanted if line.startswith(TORCH))
    return torch, sorted(wanted.difference(torch))


def main(arguments: Sequence[str]) -> None:
    """Write both files into the current folder."""
    project, client, *extras = arguments
    texts = [Path(name).read_text(encoding="utf-8") for name in (project, client)]
    torch, rest = split(texts[0], texts[1], extras)
    Path("torch.txt").write_text("\n".join(torch) + "\n", encoding="utf-8")
    Path("rest.txt").write_text("\n".join(rest) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
