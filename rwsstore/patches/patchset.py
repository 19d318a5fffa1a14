"""Patch sets: which patches, at which strengths. One string wherever a scalar is wanted."""

__all__ = ["PatchSet", "Request", "parse_alpha", "parse_request"]

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rwsstore.canonical import Digest
from rwsstore.errors import ConfigError
from rwsstore.patches.fields import MAX_PATCHES, short
from rwsstore.patches.patch import Patch

Request = Mapping[str, float | None]
"""What a caller asks for: patch name, version or digest → α; None is the recommended α."""


def parse_alpha(text: str) -> float:
    """Read a strength.

    Raises:
        ConfigError: it is not a finite number.
    """
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not math.isfinite(alpha) or not text.isascii() or "_" in text:
        raise ConfigError(f"alpha '{short(text)}' is not a finite number")
    return alpha


def parse_request(text: str) -> dict[str, float | None]:
    """Read `fog=0.6,gaussian_blur=0.4`; a name alone takes its recommended α.

    `none`, or nothing at all, is the empty request. Names are not looked at here: whoever finds
    the patches refuses what is not a name.

    Raises:
        ConfigError: a patch is named twice, a name is empty, or an α is not a finite number.
    """
    wanted: dict[str, float | None] = {}
    if text.strip() in ("", "none"):
        return wanted
    for item in text.split(","):
        name, equals, alpha = (part.strip() for part in item.partition("="))
        if not name:
            raise ConfigError(
                f"'{short(text)}' is not a patch set; expected fog=0.6,gaussian_blur=0.4"
            )
        if name in wanted:
            raise ConfigError(f"patch '{short(name)}' is named twice")
        wanted[name] = parse_alpha(alpha) if equals else None
    return wanted


@dataclass(frozen=True)
class PatchSet:
    """An unordered set of (patch, α) without composed patches, kept in the order of the digests.

    Attributes:
        items: (digest, α), by digest, each digest once, no α of 0.
    """

    items: tuple[tuple[Digest, float], ...] = ()

    @classmethod
    def of(cls, chosen: Iterable[tuple[Patch, float]]) -> "PatchSet":
        """Make a patch set of patches at checked strengths.

        Composed patches expand to their parts, each at its α times the composed one's.

        Args:
            chosen: (patch, α), in any order; an α of 0 leaves its patch out.

        Raises:
            ConfigError: an α is out of its patch's range, a patch occurs twice, or there are more
                than `MAX_PATCHES`.
        """
        items: dict[Digest, float] = {}
        for patch, alpha in chosen:
            for digest, part in _expand(patch, alpha):
                if digest in items:
                    raise ConfigError(
                        f"patch {patch.name!r} ({digest[:12]}) is in the set twice, on its own or "
                        "inside a composed patch"
                    )
                items[digest] = part
        kept = sorted((digest, part) for digest, part in items.items() if part != 0)
        if len(kept) > MAX_PATCHES:
            raise ConfigError(f"{len(kept)} patches in one set; at most {MAX_PATCHES} are allowed")
        return cls(tuple(kept))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Digest, float]]:
        return iter(self.items)


def _expand(patch: Patch, alpha: float) -> list[tuple[Digest, float]]:
    checked = patch.metadata.alpha.check(alpha, patch.name)
    if patch.metadata.kind == "composed":
        return [(digest, checked * part) for digest, part in patch.parts]
    return [(patch.digest, checked)]
