"""Patch sets, composed patches, and the one arithmetic that puts them on weights.

θ = θ_std + Σ α_i·Δ_i is computed from the pristine clean weights, in float32, each operation
rounded on its own: s′ = fl32(α·s) a channel, the product in float64, then d = fl32(q·s′); the sum
starts at θ_std and takes the d's in the order of the patches' digests. So the result depends
neither on the order of requests nor on the machine, and taking a patch off is not an operation at
all.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rwsstore import __version__
from rwsstore.canonical import Digest
from rwsstore.config import short
from rwsstore.errors import ConfigError, MismatchError, TensorError
from rwsstore.patches.metadata import MAX_PATCHES, AlphaRange, PatchMetadata
from rwsstore.patches.patch import Patch
from rwsstore.patches.quantization import Payload, all_finite


def patched_tensor(name: str, clean: Tensor, parts: Iterable[tuple[Payload, float]]) -> Tensor:
    """Put deltas on one tensor; a new float32 tensor in the clean one's memory format.

    Args:
        name: of the tensor, for messages.
        clean: float32, never modified.
        parts: (payload, α), in the order of the patches' digests.

    Raises:
        TensorError: the clean weights are not float32, a delta has another shape, or the patched
            weights are not finite.
    """
    if clean.dtype != torch.float32:
        raise TensorError(f"weights of {name!r} are {clean.dtype}; patches go on float32")
    total = clean.detach().clone()
    for payload, alpha in parts:
        if payload.shape != tuple(clean.shape):
            raise TensorError(
                f"weights of {name!r} have shape {tuple(clean.shape)}, a delta for them "
                f"{payload.shape}"
            )
        # add_ without its alpha argument: with it the product and the sum are rounded as one.
        total.add_(payload.delta(alpha))
    if not all_finite(total):
        raise TensorError(f"patched weights of {name!r} are not finite: use smaller alphas")
    return total


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
        """Make a patch set; composed patches expand to their parts, each at its α times theirs.

        Args:
            chosen: (patch, α), in any order; an α of 0 leaves its patch out.

        Raises:
            ConfigError: an α is out of its patch's range, a patch occurs twice, or there are more
                than `MAX_PATCHES`.
        """
        items: dict[Digest, float] = {}
        for patch, alpha in chosen:
            checked = patch.metadata.alpha.check(alpha, patch.name)
            own = patch.parts if patch.metadata.kind == "composed" else ((patch.digest, 1.0),)
            for digest, share in own:
                if digest in items:
                    raise ConfigError(
                        f"patch {patch.name!r} ({digest[:12]}) is in the set twice, on its own or "
                        "inside a composed patch"
                    )
                items[digest] = checked * share
        kept = sorted((digest, part) for digest, part in items.items() if part != 0)
        if len(kept) > MAX_PATCHES:
            raise ConfigError(f"{len(kept)} patches in one set; at most {MAX_PATCHES} are allowed")
        return cls(tuple(kept))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Digest, float]]:
        return iter(self.items)


def compose(name: str, chosen: Sequence[tuple[Patch, float]]) -> Patch:
    """Make a patch that stands for several; it names them by digest and holds no tensors.

    It equals that patch set to the bit. Parts that are composed themselves are resolved now. It
    takes the strengths at which each part stays within its own range.

    Args:
        name: of the composed patch.
        chosen: (patch, α); an α of 0 leaves its patch out.

    Raises:
        ConfigError: the name is not one, no part is left, one occurs twice, an α is out of its
            patch's range, or there are more than `MAX_PATCHES`.
        MismatchError: the parts belong to different models.
    """
    parts = PatchSet.of(chosen)
    if not parts:
        raise ConfigError(f"composed patch {name!r} has no part with an alpha other than 0")
    first = chosen[0][0].metadata
    for patch, _ in chosen[1:]:
        other = patch.metadata
        if (other.architecture, other.clean_weights) != (first.architecture, first.clean_weights):
            raise MismatchError(
                f"patches {first.name!r} and {patch.name!r} were extracted from different clean "
                "models; only patches of one model compose"
            )
    metadata = PatchMetadata.make(
        kind="composed",
        name=name,
        architecture=first.architecture,
        clean_weights=first.clean_weights,
        model=first.model,
        alpha=_range(chosen),
        parts=tuple({"digest": digest, "alpha": alpha} for digest, alpha in parts),
        tool=f"rwsstore {__version__}",
    )
    return Patch.build(metadata, {}, None)


def scale(patch: Patch, alpha: float, *, name: str) -> Patch:
    """Make a patch whose strength 1 is another's strength α, not 0; composed of one part."""
    return compose(name, [(patch, alpha)])


def _range(chosen: Sequence[tuple[Patch, float]]) -> AlphaRange:
    """The strengths at which every part stays within its own range."""
    given = [(patch.metadata.alpha, alpha) for patch, alpha in chosen if alpha != 0]
    minimum = max(_at_least(part.minimum, alpha) for part, alpha in given)
    maximum = min(_at_most(part.maximum, alpha) for part, alpha in given)
    return AlphaRange(recommended=1.0, minimum=minimum, maximum=min(maximum, 1e6))


def _at_least(bound: float, alpha: float) -> float:
    quotient = bound / alpha
    return quotient if quotient * alpha >= bound else math.nextafter(quotient, math.inf)


def _at_most(bound: float, alpha: float) -> float:
    quotient = bound / alpha
    return quotient if quotient * alpha <= bound else math.nextafter(quotient, 0.0)
