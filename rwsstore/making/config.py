"""What is made, as somebody writes it down: versioned, unknown keys refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from torch import nn

from rwsstore.config import Frozen, validated
from rwsstore.corruptions import parse_corruptions
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, RwsError, UnknownNameError
from rwsstore.files import read_toml
from rwsstore.making.hazards import hazard_for
from rwsstore.making.options import DeltaOptions, ExtractionOptions
from rwsstore.models import ModelSpec, build, parse_layers, shallowest
from rwsstore.training import (
    WEIGHT_RECIPES,
    AveragingConfig,
    TrainingConfig,
    WeightRecipe,
    pixel_statistics,
)

_Name = Annotated[str, Field(min_length=1, max_length=64)]
_Seed = Annotated[int, Field(ge=0, lt=2**63)]
_Count = Annotated[int, Field(ge=1)]


def _resolved(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return parse_corruptions(value) if isinstance(value, str) else value


_Corruptions = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_resolved)]
"""Names of corruptions; in a file also groups, or "all"."""


class DeltaConfig(DeltaOptions):
    """Which recipe, with which settings, on which layers, and how its patch is made.

    Attributes:
        recipe: a name in `WEIGHT_RECIPES`.
        name: of the patch; None: the recipe's.
        settings: of the recipe; what is left out is at its default.
        layers: that train, as `parse_layers` reads them: `1-8`, or names; None: all.
        training: what a table leaves out is as the recipe's defaults have it.
    """

    recipe: str
    name: _Name | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    layers: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("recipe") not in WEIGHT_RECIPES:
            return values
        training = values.get("training")
        if not isinstance(training, Mapping):
            return values
        defaults = WEIGHT_RECIPES[values["recipe"]].defaults.model_dump()
        return {**values, "training": {**defaults, **training}}

    @model_validator(mode="after")
    def _check_recipe(self) -> Self:
        try:
            if self.recipe not in WEIGHT_RECIPES:
                raise UnknownNameError("recipe", self.recipe, WEIGHT_RECIPES)
            if "layers" in self.settings:
                raise ValueError("layers stand beside the settings, not among them")
            hazard_for(WEIGHT_RECIPES[self.recipe].configured(self.settings), self)
        except RwsError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def patch_name(self) -> str:
        """The name under which the patch is published."""
        return self.name or self.recipe

    @property
    def options(self) -> DeltaOptions:
        """What is not the recipe's own."""
        return DeltaOptions(**{name: getattr(self, name) for name in DeltaOptions.model_fields})

    def recipe_for(self, model: nn.Module) -> WeightRecipe:
        """Make the recipe, its layers those of a model; it raises what `parse_layers` does."""
        chosen = {} if self.layers is None else {"layers": parse_layers(model, self.layers)}
        return WEIGHT_RECIPES[self.recipe].configured({**self.settings, **chosen})


class ExtractionRun(Frozen):
    """Which patches are extracted from which model, on which images, and how.

    Attributes:
        model: path of the clean model's checkpoint, or "bundled".
        network: what the checkpoint holds, where it does not say so itself.
        store: its folder; None is the default one.
        dataset: as `load_images` takes it.
        anchor_model: path of θ_init, where `extraction.anchor` is not "clean".
        validation: training images held out, for the best epoch and the card; None: a tenth of
            them, at most 5,000.
        seed: of the limit and of the split; the training has its own.
        mode: of arithmetic; "auto" is whichever is faster here.
    """

    version: Literal[1] = 1
    model: Path = Path("bundled")
    network: ModelSpec | None = None
    store: Path | None = None
    dataset: str
    corruptions: _Corruptions
    anchor_model: Path | None = None
    limit: _Count | None = None
    validation: _Count | None = None
    seed: _Seed = 0
    mode: Literal["auto", "plain", "bf16"] = "auto"
    extraction: ExtractionOptions = Field(default_factory=ExtractionOptions)

    @classmethod
    def of(cls, /, **fields: Any) -> "ExtractionRun":
        """Validate a run's parameters.

        Raises:
            ConfigError: as `validated`, or an anchor without its checkpoint.
        """
        run = validated(cls, fields, what="extraction")
        if (run.anchor_model is None) != (run.extraction.anchor == "clean"):
            raise ConfigError(
                "extraction: an anchor other than the clean model and its checkpoint "
                "(anchor_model) go together"
            )
        return run


def read_run(path: Path) -> ExtractionRun:
    """Read a run from a TOML file; it raises what `read_config` does."""
    return ExtractionRun.of(**read_toml(path))


class NetworkConfig(Frozen, allow_inf_nan=False):
    """The network, as in `ModelSpec`; its BatchNorm is folded after the training."""

    network: str = "vgg16"
    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    batch_norm: bool = True
    input_size: Annotated[int, Field(ge=8, le=1024)] = 32


class DataConfig(Frozen, allow_inf_nan=False):
    """The images.

    Attributes:
        name: what the dataset is called in patches and cards.
        classes: in the order of the outputs; a folder with others is refused.
        validation: training images held out, by `seed`, on which everything is chosen.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    validation: _Count
    seed: _Seed = 0


class MeasuringConfig(Frozen, allow_inf_nan=False):
    """The one look at the test images.

    Attributes:
        bits: widths that are compared, the stored one among them.
        seed: of the corruptions, the resamples and the hazards.
        hazard_images: test images that accuracy under a delta's hazard is measured on, at most.
    """

    bits: Annotated[tuple[Literal[32, 16, 8, 4, 3, 2], ...], Field(min_length=1)] = (8, 4)
    resamples: Annotated[int, Field(ge=40, le=100_000)] = 1000
    seed: _Seed = 0
    hazard_images: _Count = 1000


class BundleConfig(Frozen, allow_inf_nan=False):
    """A model, its patches, and how they are measured.

    Attributes:
        mode: arithmetic of the trainings; "auto" is left out, for it depends on the machine.
        training: of the clean model; its seed also draws the initial weights.
        averaging: cycles after the training whose ends are averaged; none without it.
        extraction: of each patch against a corruption.
        deltas: patches against failing weights and adversaries.
    """

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    corruptions: _Corruptions
    mode: Literal["plain", "bf16"] = "plain"
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    averaging: AveragingConfig | None = None
    extraction: ExtractionOptions = Field(default_factory=ExtractionOptions)
    deltas: tuple[DeltaConfig, ...] = ()
    measuring: MeasuringConfig = MeasuringConfig()

    @model_validator(mode="after")
    def _check_contradictions(self) -> Self:
        if self.extraction.anchor != "clean":
            raise ValueError("extraction.anchor: a bundle's patches start at its clean model")
        self._check_card("extraction.card_images", self.extraction)
        stored = self.extraction.bits
        over = [bits for bits in self.measuring.bits if bits > stored]
        if over:
            raise ValueError(
                f"measuring.bits asks for {over[0]}, but patches are stored at {stored} bits "
                "(extraction.bits)"
            )
        if stored not in self.measuring.bits:
            raise ValueError(
                f"measuring.bits leaves out {stored}, at which patches are stored (extraction.bits)"
            )
        return self

    def _check_card(self, what: str, options: DeltaOptions | ExtractionOptions) -> None:
        if options.card_images > self.data.validation:
            raise ValueError(
                f"{what} is {options.card_images}, but only {self.data.validation} images are held "
                "out (data.validation)"
            )

    @model_validator(mode="after")
    def _check_deltas(self) -> Self:
        names = [*self.corruptions, *(delta.patch_name for delta in self.deltas)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"deltas: two patches are called {twice[0]}: give one a name")
        for delta in self.deltas:
            self._check_card(f"deltas: card_images of {delta.patch_name}", delta)
        return self

    @property
    def compute_mode(self) -> ComputeMode:
        """The arithmetic of the trainings."""
        fast = self.mode == "bf16"
        return ComputeMode(bf16=fast, channels_last=fast)

    def spec(self, train: ImageSet) -> ModelSpec:
        """Specify the network, its normalization taken from the training images."""
        mean, std = pixel_statistics(train)
        return ModelSpec(
            num_classes=len(self.data.classes),
            classes=self.data.classes,
            mean=mean,
            std=std,
            **self.network.model_dump(),
        )

    def check_network(self) -> None:
        """Build the network once without images, so that a wrong one is refused before any work.

        Raises:
            UnknownNameError: no such network.
            ConfigError: a patch is to cover more layers than there are, or others.
        """
        spec = ModelSpec(num_classes=len(self.data.classes), **self.network.model_dump())
        network = build(spec, seed=0)
        shallowest(network, self.extraction.layers)
        for delta in self.deltas:
            delta.recipe_for(network)


def read_config(path: Path) -> BundleConfig:
    """Read a bundle's configuration from a TOML file.

    Raises:
        MissingFileError: there is none.
        FormatError: it is not TOML.
        ConfigError: an unknown key, a value out of its range, or values that contradict each other.
    """
    config = validated(BundleConfig, read_toml(path), what=str(path))
    config.check_network()
    return config
