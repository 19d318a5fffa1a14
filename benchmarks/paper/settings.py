"""Every parameter of the studies, as a file; what each is, paper.toml says beside it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rwsstore.config import Frozen, validated
from rwsstore.corruptions import CORRUPTIONS, parse_corruptions
from rwsstore.files import read_toml
from rwsstore.training import (
    AdversarialTrainingOptions,
    ClatOptions,
    CorruptionResistantOptions,
    HessianAwareOptions,
    SelectiveOptions,
    TrainingConfig,
)

CLAT_TABLES = (
    "clat_baselines", "clat_layers", "clat_dynamic", "clat_clean", "clat_count", "clat_blackbox",
)  # fmt: skip
"""Studies of the section `clat`. Each of their models is kept with what it was trained and measured
with, so that their numbers depend on no settings but the models'."""

_WHOLE = ("tables", "corruption_resistant", "clat_patch")
"""Studies of figures that are promised: they are given all test images."""

_ALSO = {"tables": ("augmented",), "filtering": ("parameter_corruption",)}
"""Parts of the settings that a study depends on besides `robust` and its own."""


def _names(value: Any) -> Any:
    if isinstance(value, str):
        return parse_corruptions(value)
    if isinstance(value, list | tuple):
        return parse_corruptions(",".join(map(str, value)))
    return value


_Values = TypeVar("_Values", bound=tuple[float, ...])


def _rising(values: _Values) -> _Values:
    if list(values) != sorted(set(values)):
        raise ValueError("must rise, and name none twice")
    return values


_Some, _InOrder = Field(min_length=1), AfterValidator(_rising)
Names = Annotated[tuple[str, ...], _Some, BeforeValidator(_names)]
Bits = Literal[32, 16, 8, 4, 3, 2]
Count = Annotated[int, Field(ge=1)]
Counts = Annotated[tuple[Count, ...], _Some, _InOrder]
Positive = Annotated[float, Field(gt=0)]
Positives = Annotated[tuple[Positive, ...], _Some, _InOrder]
Share = Annotated[float, Field(gt=0, le=1)]
Width = Annotated[float, Field(gt=0, le=8)]
Severity = Annotated[int, Field(ge=1, le=5)]
Severities = Annotated[tuple[Severity, ...], _Some, _InOrder]
Alphas = Annotated[tuple[Annotated[float, Field(gt=0, le=2)], ...], _Some, _InOrder]
Alphas0 = Annotated[tuple[Annotated[float, Field(ge=0, le=2)], ...], _Some, _InOrder]
Resamples = Annotated[int, Field(ge=40)]

_QUARTERS = (0.25, 0.5, 0.75, 1.0)


class Part(Frozen, allow_inf_nan=False):
    """One section of the file, which says what each field is."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for fault, said in self._faults():
            if fault:
                raise ValueError(said)
        return self

    def _faults(self) -> Iterable[tuple[bool, str]]:
        """What would be wrong with its fields together, whether it is, and what is said then."""
        return ()


class TablesSettings(Part):
    corruptions: Names = tuple(CORRUPTIONS)
    bits: Annotated[tuple[Bits, ...], _Some] = (16, 8, 4, 3, 2)
    all_layers_bits: Bits = 8


class LayersSettings(Part):
    training: TrainingConfig
    constrained: Annotated[tuple[Count, ...], _InOrder] = (1, 2, 3, 5, 8, 13)
    bits: Bits = 8


class AlphaSettings(Part):
    alphas: Alphas0 = tuple(step / 10 for step in range(13))
    severities: Severities = (3, 5)

    def _faults(self) -> Iterable[tuple[bool, str]]:
        yield not {0, 1} <= set(self.alphas), "alphas must hold 0 and 1"


class AnchorsSettings(Part):
    width: Width = 0.25
    layers: Count = 5
    pretraining: TrainingConfig
    clean: TrainingConfig
    early: Count
    training: TrainingConfig
    alphas: Alphas = _QUARTERS

    def _faults(self) -> Iterable[tuple[bool, str]]:
        last = self.clean.epochs
        said = f"early is epoch {self.early} of a clean run of {last}; expected an earlier one"
        yield self.early >= last, said


class CompositionsSettings(Part):
    severities: Severities = (3, 5)
    alphas: Alphas0 = _QUARTERS
    validation_images: Count = 1000


class RivalSettings(Part):
    corruptions: Names = tuple(CORRUPTIONS)
    batches: Annotated[tuple[Count, ...], _Some] = (1, 8, 200)
    batch_one_images: Count = 1000
    tent_batches: Annotated[tuple[Annotated[int, Field(ge=2)], ...], _Some] = (8, 200)
    tent_learning_rates: Annotated[tuple[Positive, ...], _Some] = (1e-2, 3e-3, 1e-3, 2e-4)


class ParameterCorruptionSettings(Part):
    width: Width = 0.25
    training: TrainingConfig = TrainingConfig(epochs=8, label_smoothing=0.0)
    gradient_images: Count = 1000
    draws: Annotated[int, Field(ge=2, le=100)] = 3
    few: Count = 100
    table_epsilons: Positives = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    few_epsilons: Positives = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    layer_n: Count = 100
    layer_epsilons: Positives = (0.3, 1.0, 3.0, 10.0, 30.0)
    type_ns: Counts = (10, 100)
    type_epsilons: Positives = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    component_n: Count = 10
    component_epsilons: Positives = (0.3, 1.0, 3.0)


class CorruptionResistantSettings(Part):
    recipe: CorruptionResistantOptions = CorruptionResistantOptions()
    training: TrainingConfig = TrainingConfig(epochs=3, learning_rate=0.01, clip_norm=1.0)
    bits: Bits = 8
    epsilons: Positives = (0.05, 0.1, 0.2, 0.5, 1.0)
    gradient_images: Count = 2000
    lost: Positive = 20.0
    allowed: Positive = 10.0


class HessianAwareSettings(Part):
    recipe: HessianAwareOptions = HessianAwareOptions()
    training: TrainingConfig = TrainingConfig(epochs=1, learning_rate=0.0075, clip_norm=1.0)
    l2: Annotated[float, Field(ge=0, le=1)] = 5e-3
    rho: Positive = 0.05
    bits: Bits = 8
    sites: Annotated[int, Field(ge=10)] = 3000
    images: Count = 250
    resamples: Resamples = 2000


class FilteringSettings(Part):
    images: Count = 80
    thresholds: Annotated[int, Field(ge=5, le=1001)] = 25
    epsilon: Share = 0.015
    recipe: SelectiveOptions = SelectiveOptions(images=60)
    training: TrainingConfig = TrainingConfig(epochs=1, learning_rate=0.0075, clip_norm=1.0)
    seeds: Annotated[int, Field(ge=1, le=20)] = 1
    attack_images: Count = 1000
    digits: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.05, flip=False)
    half: TrainingConfig = TrainingConfig(epochs=4, learning_rate=0.1)
    resamples: Resamples = 1000

    def _faults(self) -> Iterable[tuple[bool, str]]:
        said = "thresholds must be 1 above a multiple of 4, to be halved"
        yield self.thresholds % 4 != 1, said
        yield "h1" not in self.recipe.filters, "h1 must be among the filters"
        said = "recipe.attack_epsilon must be epsilon"
        yield self.recipe.attack_epsilon != self.epsilon, said


class Evaluation(Part):
    test_images: Count = 2500
    pgd_steps: Count = 20
    apgd_steps: Count = 100
    resamples: Resamples = 2000


class CleanStart(Part):
    training: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.1, clip_norm=5.0)
    finetuning: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.05, clip_norm=5.0)
    recipe: ClatOptions = ClatOptions(every=5)


class ClatSettings(Part):
    network: str = "resnet32_stride2"
    width: Width = 1.0
    train_images: Count = 4000
    seeds: Annotated[int, Field(ge=2, le=20)] = 3
    ablation_seeds: Annotated[int, Field(ge=1, le=20)] = 1
    epsilon: Share = 0.03
    pretrained: bool = False
    evaluation: Evaluation = Evaluation()
    adversarial: AdversarialTrainingOptions = AdversarialTrainingOptions(steps=5, step_size=None)
    beta: Annotated[float, Field(ge=0)] = 6.0
    training: TrainingConfig = TrainingConfig(epochs=30, learning_rate=0.1, clip_norm=5.0)
    half: Count = 15
    finetuning: TrainingConfig = TrainingConfig(epochs=15, learning_rate=0.02, clip_norm=5.0)
    recipe: ClatOptions = ClatOptions(every=5)
    others: tuple[Literal["fast_at", "trades"], ...] = ("fast_at", "trades")
    counts: Counts = (1, 2, 4, 8, 16)
    clean: CleanStart = CleanStart()

    def _faults(self) -> Iterable[tuple[bool, str]]:
        epochs, again = self.half + self.finetuning.epochs, self.recipe.every
        for name, recipe in (
            ("adversarial", self.adversarial),
            ("recipe", self.recipe),
            ("clean.recipe", self.clean.recipe),
        ):
            yield recipe.epsilon != self.epsilon, f"{name}.epsilon must be epsilon"
        said = "half and finetuning.epochs must make training.epochs"
        yield epochs != self.training.epochs, said
        yield self.ablation_seeds > self.seeds, "ablation_seeds must not be more than seeds"
        yield len(set(self.others)) != len(self.others), "others must name none twice"
        said = "recipe must select again: every or every_steps is wanted"
        yield again is None and self.recipe.every_steps is None, said
        yield self.recipe.select != "critical", "recipe.select must be critical"


class ClatPatchSettings(Part):
    alphas: Alphas = _QUARTERS
    images: Count = 1000
    attack_images: Count = 500
    epsilon: Share = 4 / 255
    pgd_steps: Count = 20
    apgd_steps: Count = 100
    gain: Positive = 15.0
    resamples: Resamples = 2000


class Settings(Part):
    version: Literal[1] = 1
    corruptions: Names
    severity: Severity = 5
    validation: Count = 2000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    test_images: Count | None = None
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

    def _faults(self) -> Iterable[tuple[bool, str]]:
        for name in self.corruptions:
            said = f"{name} is in corruptions, but not in tables.corruptions"
            yield name not in self.tables.corruptions, said

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


def read_settings(path: Path) -> Settings:
    """Read a TOML file; unknown keys, values out of range and contradictions are refused."""
    return validated(Settings, read_toml(path), what=str(path))
