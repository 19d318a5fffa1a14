"""Every parameter of the studies, as a file."""

__all__ = [
    "CLAT_TABLES",
    "AlphaSettings",
    "AnchorsSettings",
    "ClatPatchSettings",
    "ClatSettings",
    "CompositionsSettings",
    "FilteringSettings",
    "LayersSettings",
    "ParameterCorruptionSettings",
    "RivalSettings",
    "Settings",
    "TablesSettings",
    "read_settings",
]

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from benchmarks.paper.clat_settings import ClatPatchSettings, ClatSettings
from benchmarks.paper.filtering_settings import FilteringSettings
from benchmarks.paper.weight_settings import (
    CorruptionResistantSettings,
    HessianAwareSettings,
)
from rwsstore.config import Frozen, validated
from rwsstore.corruptions import CORRUPTIONS, parse_corruptions
from rwsstore.files import read_toml
from rwsstore.training import TrainingConfig

Severity = Annotated[int, Field(ge=1, le=5)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]

CLAT_TABLES = (
    "clat_baselines", "clat_layers", "clat_dynamic", "clat_clean", "clat_count", "clat_blackbox",
)  # fmt: skip
"""Studies of the section `clat`. Each of their models is kept with what it was trained and measured
with, so that their numbers depend on no settings but the models'."""

_WHOLE = ("tables", "corruption_resistant", "clat_patch")
"""Studies of figures that are promised: they are given all test images."""

_ALSO = {
    "tables": ("augmented",),
    "filtering": ("parameter_corruption",),
}
"""Parts of the settings that a study depends on besides `robust` and its own."""


class TablesSettings(Frozen, allow_inf_nan=False):
    """Tables 1, 4 and 5.

    Attributes:
        corruptions: of the large table; the five are a part of them.
        bits: widths of the shallow patches, the widest first; made of the patches at 32 bits.
        all_layers_bits: of the patches over all layers.
    """

    corruptions: Names = tuple(CORRUPTIONS)
    bits: Annotated[tuple[Literal[32, 16, 8, 4, 3, 2], ...], Field(min_length=1)] = (
        16, 8, 4, 3, 2,
    )  # fmt: skip
    all_layers_bits: Literal[32, 16, 8, 4, 3, 2] = 8

    @field_validator("corruptions", mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        return _names(value)


class LayersSettings(Frozen, allow_inf_nan=False):
    """Figure 6.

    Attributes:
        training: of the shallow-constrained counterparts.
        constrained: numbers of layers K for which one is trained.
        bits: of the patches.
    """

    training: TrainingConfig
    constrained: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 3, 5, 8, 13)
    bits: Literal[32, 16, 8, 4, 3, 2] = 8

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.constrained) != sorted(set(self.constrained)):
            raise ValueError("constrained must rise, and name no K twice")
        return self


class AlphaSettings(Frozen, allow_inf_nan=False):
    """Figure 7.

    Attributes:
        alphas: strengths, rising from 0; 1 is among them.
        severities: of the images.
    """

    alphas: Annotated[tuple[Annotated[float, Field(ge=0, le=2)], ...], Field(min_length=2)] = tuple(
        step / 10 for step in range(13)
    )
    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = (3, 5)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.alphas) != sorted(set(self.alphas)) or not {0, 1} <= set(self.alphas):
            raise ValueError("alphas must rise, name none twice, and hold 0 and 1")
        if list(self.severities) != sorted(set(self.severities)):
            raise ValueError("severities must rise, and name none twice")
        return self


class AnchorsSettings(Frozen, allow_inf_nan=False):
    """The three anchors, on a small network of their own; and how much full training loses.

    Attributes:
        width: of the small network.
        layers: how many of its shallowest layers a patch covers.
        pretraining: on quarter turns, with BatchNorm.
        clean: from the pre-trained anchor, folded, to the clean model.
        early: epoch of that run whose checkpoint is the early anchor.
        training: of each robust counterpart, from each anchor.
        alphas: strengths of which the best is chosen besides 1.
    """

    width: Annotated[float, Field(gt=0, le=8)] = 0.25
    layers: Annotated[int, Field(ge=1)] = 5
    pretraining: TrainingConfig
    clean: TrainingConfig
    early: Annotated[int, Field(ge=1)]
    training: TrainingConfig
    alphas: Annotated[tuple[Annotated[float, Field(gt=0, le=2)], ...], Field(min_length=1)] = (
        0.25, 0.5, 0.75, 1.0,
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_early(self) -> Self:
        if self.early >= self.clean.epochs:
            raise ValueError(
                f"early is epoch {self.early} of a clean run of {self.clean.epochs}; expected an "
                "earlier one"
            )
        return self


class CompositionsSettings(Frozen, allow_inf_nan=False):
    """Figure 8.

    Attributes:
        severities: of both corruptions of a pair, rising.
        alphas: strengths of which the best pair is chosen for each pair of corruptions.
        validation_images: on which it is chosen, at most.
    """

    severities: Annotated[tuple[Severity, ...], Field(min_length=1)] = (3, 5)
    alphas: Annotated[tuple[Annotated[float, Field(ge=0, le=2)], ...], Field(min_length=1)] = (
        0.25, 0.5, 0.75, 1.0,
    )  # fmt: skip
    validation_images: Annotated[int, Field(ge=1)] = 1000

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for name in ("severities", "alphas"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name} must rise, and name none twice")
        return self


class RivalSettings(Frozen, allow_inf_nan=False):
    """BatchNorm re-estimated on the test stream, and TENT.

    Attributes:
        corruptions: the 19; the benchmark's 15 are those among them.
        batches: batch sizes of re-estimated BatchNorm.
        batch_one_images: of the test images that are measured at batch 1, at most: it is slow.
        tent_batches: batch sizes of TENT, and of both on mixed streams.
        tent_learning_rates: of Adam; the best on validation images is taken, a batch size.
    """

    corruptions: Names = tuple(CORRUPTIONS)
    batches: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 8, 200)
    batch_one_images: Annotated[int, Field(ge=1)] = 1000
    tent_batches: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (8, 200)
    tent_learning_rates: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)
    ] = (1e-2, 3e-3, 1e-3, 2e-4)

    @field_validator("corruptions", mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        return _names(value)


Grid = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
"""ε, rising."""


class ParameterCorruptionSettings(Frozen, allow_inf_nan=False):
    """Random and gradient-based corruption of parameters, of the bundled model and a ResNet.

    Attributes:
        width: of the ResNet-18, which keeps its BatchNorm.
        training: of it.
        gradient_images: training images that gradients and loss changes are of.
        draws: random corruptions for each n and ε of the first table.
        few: n of the first table's second half.
        table_epsilons: where all parameters may be corrupted, p = 2.
        few_epsilons: where few may.
        layer_n: n of the layers, p = 2.
        layer_epsilons: of the layers.
        type_ns: each n of the component types, p = ∞.
        type_epsilons: of the component types.
        component_n: n of the ResNet's components one by one, p = ∞.
        component_epsilons: of them.
    """

    width: Annotated[float, Field(gt=0, le=8)] = 0.25
    training: TrainingConfig = TrainingConfig(epochs=8, label_smoothing=0.0)
    gradient_images: Annotated[int, Field(ge=1)] = 1000
    draws: Annotated[int, Field(ge=2, le=100)] = 3
    few: Annotated[int, Field(ge=1)] = 100
    table_epsilons: Grid = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    few_epsilons: Grid = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    layer_n: Annotated[int, Field(ge=1)] = 100
    layer_epsilons: Grid = (0.3, 1.0, 3.0, 10.0, 30.0)
    type_ns: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (10, 100)
    type_epsilons: Grid = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    component_n: Annotated[int, Field(ge=1)] = 10
    component_epsilons: Grid = (0.3, 1.0, 3.0)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for name, values in self:
            if isinstance(values, tuple) and list(values) != sorted(set(values)):
                raise ValueError(f"{name} must rise, and name none twice")
        return self


class Settings(Frozen, allow_inf_nan=False):
    """What the studies share, and a part for each.

    Attributes:
        version: of this description.
        corruptions: of the studies that train: five of different groups.
        severity: of the corruptions.
        validation: training images held out, on which everything is chosen.
        seed: of that choice, of the corruptions and of `test_images`.
        test_images: use at most so many, but for the studies of promised figures, which take all;
            None: all.
        mode: arithmetic of the trainings; measuring is always plain float32.
        robust: full training of a robust counterpart.
        augmented: training of the one model on all corruptions.
        tables: of the study of this name, as all below.
    """

    version: Literal[1] = 1
    corruptions: Names
    severity: Severity = 5
    validation: Annotated[int, Field(ge=1)] = 2000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    test_images: Annotated[int, Field(ge=1)] | None = None
    mode: Literal["plain", "bf16", "auto"] = "bf16"
    robust: TrainingConfig
    augmented: TrainingConfig
    tables: TablesSettings = TablesSettings()
    layers: LayersSettings
    alpha: AlphaSettings = AlphaSettings()
    anchors: AnchorsSettings | None = None
    compositions: CompositionsSettings = CompositionsSettings()
    rival: RivalSettings = RivalSettings()
    parameter_corruption: ParameterCorruptionSettings = ParameterCorruptionSettings()
    corruption_resistant: CorruptionResistantSettings = CorruptionResistantSettings()
    hessian_aware: HessianAwareSettings = HessianAwareSettings()
    filtering: FilteringSettings = FilteringSettings()
    clat: ClatSettings = ClatSettings()
    clat_patch: ClatPatchSettings = ClatPatchSettings()

    @field_validator("corruptions", mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        return _names(value)

    @model_validator(mode="after")
    def _check_contradictions(self) -> Self:
        missing = [name for name in self.corruptions if name not in self.tables.corruptions]
        if missing:
            raise ValueError(f"{missing[0]} is in corruptions, but not in tables.corruptions")
        return self

    def of_study(self, name: str) -> dict[str, Any]:
        """What the numbers of one study depend on, as JSON values."""
        everything = self.model_dump(mode="json")
        parts = {part for part in everything if isinstance(everything[part], dict)}
        wanted = {"robust", name, *_ALSO.get(name, ())}
        return {key: everything[key] for key in everything if key not in parts or key in wanted}

    def most_images(self, name: str) -> tuple[int | None, int | None]:
        """How many images of the training and the test split a study takes; None: all."""
        if name in CLAT_TABLES:
            return self.clat.train_images, self.clat.evaluation.test_images
        return None, None if name in _WHOLE else self.test_images


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return parse_corruptions(value)
    if isinstance(value, list | tuple):
        return parse_corruptions(",".join(map(str, value)))
    return value


def read_settings(path: Path) -> Settings:
    """Read the studies' parameters from a TOML file.

    Raises:
        MissingFileError: there is none.
        FormatError: it is not TOML.
        ConfigError: an unknown key, a value out of its range, or values that contradict each other.
    """
    return validated(Settings, read_toml(path), what=str(path))
