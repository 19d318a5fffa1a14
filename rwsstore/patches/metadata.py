"""What a patch says of itself: the validated contents of the metadata key, its card among them."""

import math
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rwsstore.canonical import DIGEST_PATTERN, Digest, canonical_json, sha256_hex
from rwsstore.config import Frozen, validated
from rwsstore.errors import ConfigError

NAME_PATTERN = r"^[a-z][a-z0-9]*(?:[_.-][a-z0-9]+)*$"
"""Names of patches: lower-case words joined by single `_`, `.` or `-`, at most 64 characters."""

BIT_WIDTHS = (32, 16, 8, 4, 3, 2)
"""Bits a weight; 32 is the float32 delta itself."""

MAX_PATCHES = 1000
"""The most patches that one patch set, or one composed patch, holds."""

_NO_CONTROLS = r"[^\x00-\x1f\x7f-\x9f]"


def _positive_zero(value: float) -> float:
    """-0.0 becomes 0.0, so that one number has one writing."""
    return value + 0.0


Kind = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""What made a patch. `rwsstore.making` has a row for each that it makes, and `composed` has parts;
any other is read, listed and applied like them: its tensors say all that is needed."""

Hex64 = Annotated[str, Field(pattern=DIGEST_PATTERN)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
# What a description says may reach a terminal, so it holds no control characters.
Text = Annotated[str, Field(max_length=4096, pattern=rf"^{_NO_CONTROLS}*$")]
TensorName = Annotated[str, Field(max_length=512, pattern=rf"^{_NO_CONTROLS}+$")]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Finite = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_positive_zero)]
Alpha = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False), AfterValidator(_positive_zero)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False), AfterValidator(_positive_zero)]


class CardPoint(Frozen, strict=True):
    """Accuracies at one strength, in percent: TA on clean images, RA under the patch's hazard."""

    alpha: Alpha
    ta: Percent
    ra: Percent


class RobustnessCard(Frozen, strict=True):
    """TA and RA over a grid of strengths, measured when the patch was extracted.

    Attributes:
        images: how many each accuracy was measured on.
        points: by rising α, from 0 (no patch).
    """

    images: Annotated[Int64, Field(gt=0)]
    points: Annotated[tuple[CardPoint, ...], Field(min_length=2, max_length=1000)]

    @model_validator(mode="after")
    def _check_grid(self) -> "RobustnessCard":
        if self.points[0].alpha != 0:
            raise ValueError("the first point of a card is α = 0, the model without the patch")
        if any(left.alpha >= right.alpha for left, right in pairwise(self.points)):
            raise ValueError("the points of a card stand by rising α, none twice")
        return self

    def alpha_for(self, ta_loss: float, *, at_most: float) -> float:
        """Find the strength whose cost in clean accuracy stays within a budget.

        TA is interpolated linearly between the points. The answer is the largest α such that no
        α up to it costs more than the budget.

        Args:
            ta_loss: points of TA that may be lost, 0 or more.
            at_most: largest α to return; beyond a patch's recommended strength TA is paid for
                nothing.

        Raises:
            ConfigError: the budget is negative or not finite.
        """
        if not 0 <= ta_loss < float("inf"):
            raise ConfigError(
                f"ta_loss is {ta_loss!r}; expected a finite number of points, 0 or more"
            )
        floor = self.points[0].ta - ta_loss
        for left, right in pairwise(self.points):
            if right.ta < floor:
                share = (left.ta - floor) / (left.ta - right.ta)
                return min(left.alpha + share * (right.alpha - left.alpha), at_most)
        return min(self.points[-1].alpha, at_most)


MAX_PROBE_PIXELS = 2**23
"""The largest probe batch, count · size²: 8 images of 1024 pixels square."""


class ModelTensor(Frozen, strict=True):
    """One tensor of the model that the patch belongs to; its dtype is torch's: "float32"."""

    name: TensorName
    shape: Annotated[tuple[Annotated[Int64, Field(ge=0)], ...], Field(max_length=16)]
    dtype: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class AlphaRange(Frozen, strict=True):
    """Strengths that a patch may be given; `recommended` is the one that it was made for."""

    recommended: Alpha = 1.0
    minimum: Alpha = 0.0
    maximum: Alpha = 2.0

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.minimum <= self.recommended <= self.maximum:
            raise ValueError("expected minimum ≤ recommended ≤ maximum")
        return self

    def check(self, alpha: float, name: str) -> float:
        """Return α as a float if it may be used.

        Raises:
            ConfigError: it is not a finite number within the range.
        """
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise ConfigError(f"alpha of {name!r} is {alpha!r}; expected a number")
        try:
            value = float(alpha)
        except OverflowError:  # a whole number of more than 300 digits
            value = math.inf
        if not self.minimum <= value <= self.maximum:
            raise ConfigError(
                f"alpha of {name!r} is {value!r}; this patch takes {self.minimum:g} to "
                f"{self.maximum:g} (recommended {self.recommended:g})"
            )
        return value


class RecordedRecipe(Frozen, strict=True):
    """How the weights behind a patch were trained.

    Attributes:
        seed: of everything random in it.
        parameters: hyper-parameters that were not left at their defaults, and those that matter.
    """

    name: Text
    seed: Int64
    parameters: dict[Text, bool | Int64 | Finite | Text] = Field(default_factory=dict)


class GoldenProbe(Frozen, strict=True):
    """The probe batch of the golden logits: arguments of `probe_images`."""

    seed: Int64
    count: Annotated[int, Field(ge=1, le=64)]
    size: Annotated[int, Field(ge=1, le=1024)]

    @model_validator(mode="after")
    def _check_pixels(self) -> Self:
        if self.count * self.size**2 > MAX_PROBE_PIXELS:
            raise ValueError(
                f"{self.count} images of {self.size} pixels square; at most {MAX_PROBE_PIXELS} "
                "pixels in all"
            )
        return self


class Part(Frozen, strict=True):
    """A patch with tensors inside a composed patch, its strength where that has strength 1."""

    digest: Hex64
    alpha: Annotated[Alpha, Field(gt=0)]


class PatchMetadata(Frozen, strict=True):
    """The description that travels inside a patch file, version 1.

    Attributes:
        name: the name under which it is published unless told otherwise.
        architecture: SHA-256 over `model`.
        clean_weights: weights fingerprint of the clean model that it was extracted from.
        model: every tensor of that model, by name.
        layers: the patched layers, in forward order.
        tensors: bits of each patched tensor: `bits`, or 32 where it has less than two dimensions.
        bits: one of `BIT_WIDTHS`; None for a composed patch.
        corruption: the image corruption that it is for, with its severity, 1 to 5.
        attack: the attack that it is for, with its budget ε.
        dataset: what it was trained on.
        recipe: how.
        anchor: where clean and robust training started: "clean" (the clean model itself),
            "pretrained" or "early"; None where there is no such thing.
        projected: whether the projection on the base direction was taken out.
        golden: the probe batch of its golden logits.
        parts: of a composed patch, by digest.
        tool: what wrote it, and its version.
    """

    version: Literal[1] = 1
    kind: Kind
    name: Name
    architecture: Hex64
    clean_weights: Hex64
    model: Annotated[tuple[ModelTensor, ...], Field(min_length=1, max_length=10_000)]
    layers: tuple[TensorName, ...] = ()
    tensors: dict[TensorName, int] = Field(default_factory=dict)
    bits: Literal[32, 16, 8, 4, 3, 2] | None = None
    alpha: AlphaRange = AlphaRange()
    corruption: Text | None = None
    severity: Annotated[int, Field(ge=1, le=5)] | None = None
    attack: Text | None = None
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    dataset: Text | None = None
    recipe: RecordedRecipe | None = None
    anchor: Literal["clean", "pretrained", "early"] | None = None
    projected: bool = False
    card: RobustnessCard | None = None
    golden: GoldenProbe | None = None
    parts: Annotated[tuple[Part, ...], Field(max_length=MAX_PATCHES)] = ()
    tool: Text

    @classmethod
    def make(cls, **values: Any) -> Self:
        """Make a description.

        Raises:
            ConfigError: a value out of its range, or values that contradict each other.
        """
        return validated(cls, values, what="description of a patch")

    def revised(self, **changes: Any) -> Self:
        """Make another one with some values changed.

        Raises:
            ConfigError: as `make`.
        """
        return self.make(**{**dict(self), **changes})

    def alpha_for(self, ta_loss: float) -> float:
        """Find the strength that costs at most `ta_loss` points of clean accuracy.

        Taken from the robustness card; never above the recommended strength.

        Raises:
            ConfigError: the patch has no card, the budget is not a number of points, or no
                strength that the patch may be given stays within it.
        """
        if self.card is None:
            raise ConfigError(
                f"patch {self.name!r} carries no robustness card: give alpha a number"
            )
        alpha = self.card.alpha_for(ta_loss, at_most=self.alpha.recommended)
        if alpha < self.alpha.minimum:
            raise ConfigError(
                f"no alpha of patch {self.name!r} from {self.alpha.minimum:g} up costs at most "
                f"{ta_loss:g} points of clean accuracy"
            )
        return alpha

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        names = [entry.name for entry in self.model]
        if names != sorted(set(names)):
            raise ValueError("model: tensors stand by name, each once")
        if fingerprint(self.model) != self.architecture:
            raise ValueError("architecture is not the fingerprint of the tensors listed in model")
        return self

    @model_validator(mode="after")
    def _check_tensors(self) -> Self:
        model = {entry.name: entry for entry in self.model}
        for name, bits in self.tensors.items():
            if name not in model:
                raise ValueError(f"tensors: {name!r} is not a tensor of the model")
            shape, dtype = model[name].shape, model[name].dtype
            if dtype != "float32" or 0 in shape:
                raise ValueError(
                    f"tensors: {name!r} is {dtype}{list(shape)} in the model; only float32 "
                    "tensors that are not empty are patched"
                )
            expected = self.bits if len(shape) >= 2 else 32
            if bits != expected:
                raise ValueError(f"tensors: {name!r} has {bits} bits; expected {expected}")
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "composed":
            if self.tensors or self.bits is not None or self.golden or not self.parts:
                raise ValueError(
                    "a composed patch has parts, and neither tensors, bits nor golden logits"
                )
            digests = [part.digest for part in self.parts]
            if digests != sorted(set(digests)):
                raise ValueError("parts: stand by digest, each once")
        elif self.parts or not self.tensors or self.bits is None:
            raise ValueError(f"a patch of kind {self.kind} has tensors and bits, and no parts")
        if (self.corruption is None) != (self.severity is None):
            raise ValueError("corruption and severity go together")
        return self

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the patched tensors, by name."""
        return {entry.name: entry.shape for entry in self.model if entry.name in self.tensors}


def fingerprint(model: tuple[ModelTensor, ...]) -> Digest:
    """The architecture fingerprint of a model with these tensors, which stand by name."""
    description = [[entry.name, list(entry.shape), entry.dtype] for entry in model]
    return sha256_hex(canonical_json(description).encode())
