"""What a patch says of itself: the validated contents of the metadata key `rwsstore`."""

__all__ = [
    "NAME_PATTERN",
    "AlphaRange",
    "GoldenProbe",
    "Kind",
    "Part",
    "PatchMetadata",
    "Recipe",
    "TensorEntry",
]

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.errors import ConfigError
from rwsstore.patches.card import RobustnessCard
from rwsstore.patches.quantization import BIT_WIDTHS

NAME_PATTERN = r"^[a-z][a-z0-9]*(?:[_.-][a-z0-9]+)*$"
"""Names of patches: lower-case words joined by single `_`, `.` or `-`, at most 64 characters."""

Kind = Literal["rws", "corruption_resistant", "hessian_aware", "selective", "clat", "composed"]

Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=4096)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
TensorName = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f]+$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Alpha = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TensorEntry(_Frozen):
    """One tensor of the model that the patch belongs to.

    Attributes:
        name: as in the model's state.
        shape: of the tensor.
        dtype: as torch writes it, without `torch.` ("float32").
    """

    name: TensorName
    shape: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=16)]
    dtype: Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]


class AlphaRange(_Frozen):
    """Strengths that a patch may be given.

    Attributes:
        recommended: the strength that it was made for.
        minimum: smallest allowed.
        maximum: largest allowed.
    """

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
        if not self.minimum <= alpha <= self.maximum:
            raise ConfigError(
                f"alpha of {name!r} is {alpha!r}; this patch takes {self.minimum:g} to "
                f"{self.maximum:g} (recommended {self.recommended:g})"
            )
        return float(alpha)


class Recipe(_Frozen):
    """How the weights behind a patch were trained.

    Attributes:
        name: of the training recipe.
        seed: of everything random in it.
        parameters: hyper-parameters that were not left at their defaults, and those that matter.
    """

    name: Text
    seed: int
    parameters: dict[Text, bool | int | Finite | Text] = Field(default_factory=dict)


class GoldenProbe(_Frozen):
    """The probe batch of the golden logits: see `rwsstore.patches.golden.probe_images`."""

    seed: int
    count: Annotated[int, Field(ge=1, le=64)]
    size: Annotated[int, Field(ge=1, le=1024)]


class Part(_Frozen):
    """One part of a composed patch: the digest of a patch that has tensors, and its strength."""

    digest: Hex64
    alpha: Alpha


class PatchMetadata(_Frozen):
    """The description that travels inside a patch file, version 1.

    Attributes:
        version: of this description.
        kind: what made it.
        name: the name under which it is published unless told otherwise.
        architecture: SHA-256 over `model`.
        clean_weights: weights fingerprint of the clean model that it was extracted from.
        model: every tensor of that model, by name.
        layers: the patched layers, in forward order.
        tensors: bits of each patched tensor; what has one dimension is float32, 32.
        bits: bits of its quantized tensors; None for a composed patch.
        alpha: strengths that it may be given.
        corruption: the image corruption that it is for, with its severity, 1 to 5.
        attack: the attack that it is for, with its budget ε.
        dataset: what it was trained on.
        recipe: how.
        anchor: where clean and robust training started: "clean" (the clean model itself),
            "pretrained" or "early"; None where there is no such thing.
        projected: whether the projection on the base direction was taken out.
        card: TA and RA over α.
        golden: the probe batch of its golden logits.
        parts: what a composed patch is made of, by digest.
        tool: what wrote it, and its version.
    """

    version: Literal[1] = 1
    kind: Kind
    name: Name
    architecture: Hex64
    clean_weights: Hex64
    model: Annotated[tuple[TensorEntry, ...], Field(min_length=1, max_length=10_000)]
    layers: tuple[TensorName, ...] = ()
    tensors: dict[TensorName, Annotated[int, Field(ge=2, le=32)]] = Field(default_factory=dict)
    bits: Literal[32, 16, 8, 4, 3, 2] | None = None
    alpha: AlphaRange = AlphaRange()
    corruption: Text | None = None
    severity: Annotated[int, Field(ge=1, le=5)] | None = None
    attack: Text | None = None
    budget: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    dataset: Text | None = None
    recipe: Recipe | None = None
    anchor: Literal["clean", "pretrained", "early"] | None = None
    projected: bool = False
    card: RobustnessCard | None = None
    golden: GoldenProbe | None = None
    parts: Annotated[tuple[Part, ...], Field(max_length=1000)] = ()
    tool: Text

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        names = [entry.name for entry in self.model]
        if names != sorted(set(names)):
            raise ValueError("model: tensors stand by name, each once")
        description = [[entry.name, list(entry.shape), entry.dtype] for entry in self.model]
        if sha256_hex(canonical_json(description).encode()) != self.architecture:
            raise ValueError("architecture is not the fingerprint of the tensors listed in model")
        unknown = sorted(set(self.tensors) - set(names))
        if unknown:
            raise ValueError(f"tensors: {unknown[0]!r} is not a tensor of the model")
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "composed":
            self._check_composed()
        elif self.parts or not self.tensors or self.bits is None:
            raise ValueError(f"a patch of kind {self.kind} has tensors and bits, and no parts")
        if any(bits not in BIT_WIDTHS for bits in self.tensors.values()):
            raise ValueError(f"tensors: bits are one of {BIT_WIDTHS}")
        if (self.corruption is None) != (self.severity is None):
            raise ValueError("corruption and severity go together")
        return self

    def _check_composed(self) -> None:
        if self.tensors or self.bits is not None or self.golden or not self.parts:
            raise ValueError(
                "a composed patch has parts, and neither tensors, bits nor golden logits"
            )
        digests = [part.digest for part in self.parts]
        if digests != sorted(set(digests)):
            raise ValueError("parts: stand by digest, each once")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the patched tensors, by name."""
        return {entry.name: entry.shape for entry in self.model if entry.name in self.tensors}
