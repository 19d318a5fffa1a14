"""How a bundle is made, as a file: every parameter, versioned, unknown keys refused."""

__all__ = ["BundleConfig", "read_config"]

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from rwsstore.config import Frozen, validated
from rwsstore.corruptions import parse_corruptions
from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.deltas import DeltaConfig
from rwsstore.files import read_toml
from rwsstore.models import ModelSpec, build, shallowest
from rwsstore.signatures import ExtractionOptions
from rwsstore.training import AveragingConfig, TrainingConfig, pixel_statistics


class NetworkConfig(Frozen, allow_inf_nan=False):
    """The network.

    Attributes:
        network: name in the registry.
        width: factor on the number of channels.
        batch_norm: train with BatchNorm; it is folded afterwards.
        input_size: pixels.
    """

    network: str = "vgg16"
    width: Annotated[float, Field(gt=0, le=16)] = 1.0
    batch_norm: bool = True
    input_size: Annotated[int, Field(ge=8, le=1024)] = 32


class DataConfig(Frozen, allow_inf_nan=False):
    """The images.

    Attributes:
        name: what the dataset is called in patches and cards.
        classes: their names, in the order of the outputs; a folder with others is refused.
        validation: training images held out, on which everything is chosen.
        seed: of that choice.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    validation: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class MeasuringConfig(Frozen, allow_inf_nan=False):
    """The one look at the test images.

    Attributes:
        bits: widths that are compared, the stored one among them.
        resamples: of the bootstrap intervals.
        seed: of the corruptions, the resamples and the hazards.
        hazard_images: test images that accuracy under a delta's hazard is measured on, at most.
    """

    bits: Annotated[tuple[Literal[32, 16, 8, 4, 3, 2], ...], Field(min_length=1)] = (8, 4)
    resamples: Annotated[int, Field(ge=40, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    hazard_images: Annotated[int, Field(ge=1)] = 1000


class BundleConfig(Frozen, allow_inf_nan=False):
    """A model, its patches, and how they are measured.

    Attributes:
        version: of this description.
        name: of the bundle.
        corruptions: names; in a file also "all" or a group.
        mode: arithmetic of the trainings; "auto" is left out, for it depends on the machine.
        data: the images.
        network: what is trained.
        training: of the clean model; its seed also draws the initial weights.
        averaging: cycles after the training whose ends are averaged; none without it.
        extraction: of each patch against a corruption.
        deltas: patches against failing weights and adversaries, each with its recipe.
        measuring: of the card.
    """

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
    corruptions: Annotated[tuple[str, ...], Field(min_length=1)]
    mode: Literal["plain", "bf16"] = "plain"
    data: DataConfig
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    averaging: AveragingConfig | None = None
    extraction: ExtractionOptions = Field(default_factory=ExtractionOptions)
    deltas: tuple[DeltaConfig, ...] = ()
    measuring: MeasuringConfig = MeasuringConfig()

    @field_validator("corruptions", mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        return parse_corruptions(",".join(map(str, names)))

    @model_validator(mode="after")
    def _check_contradictions(self) -> Self:
        if self.extraction.anchor != "clean":
            raise ValueError("extraction.anchor: a bundle's patches start at its clean model")
        if self.extraction.card_images > self.data.validation:
            raise ValueError(
                f"extraction.card_images is {self.extraction.card_images}, but only "
                f"{self.data.validation} images are held out (data.validation)"
            )
        over = [bits for bits in self.measuring.bits if bits > self.extraction.bits]
        if over:
            raise ValueError(
                f"measuring.bits asks for {over[0]}, but patches are stored at "
                f"{self.extraction.bits} bits (extraction.bits)"
            )
        if self.extraction.bits not in self.measuring.bits:
            raise ValueError(
                f"measuring.bits leaves out {self.extraction.bits}, at which patches are stored "
                "(extraction.bits)"
            )
        return self

    @model_validator(mode="after")
    def _check_deltas(self) -> Self:
        names = [*self.corruptions, *(delta.patch_name for delta in self.deltas)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"deltas: two patches are called {twice[0]}: give one a name")
        for delta in self.deltas:
            if delta.card_images > self.data.validation:
                raise ValueError(
                    f"deltas: card_images of {delta.patch_name} is {delta.card_images}, but only "
                    f"{self.data.validation} images are held out (data.validation)"
                )
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
