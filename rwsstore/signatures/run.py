"""A whole extraction run as a file: every parameter, versioned, unknown keys refused."""

__all__ = ["ExtractionRun", "read_run"]

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from rwsstore.config import Frozen, validated
from rwsstore.corruptions import parse_corruptions
from rwsstore.errors import ConfigError
from rwsstore.files import read_toml
from rwsstore.models import ModelSpec
from rwsstore.signatures.options import ExtractionOptions


class ExtractionRun(Frozen):
    """Which patches are extracted from which model, on which images, and how.

    Attributes:
        version: of this description.
        model: path of the clean model's checkpoint, or "bundled".
        network: what the checkpoint holds, where it does not say so itself.
        store: folder of the store; None is the default one.
        dataset: name, as `load_images` takes it.
        corruptions: names; in a file also "all" or a group.
        anchor_model: path of θ_init, where `extraction.anchor` is not "clean".
        limit: use only so many training images.
        validation: training images held out, for the best epoch and the card; None: a tenth of
            them, at most 5,000.
        seed: of the limit and of the split; the training has its own.
        mode: "plain", "bf16", or "auto", whichever is faster here.
        extraction: how each patch is made.
    """

    version: Literal[1] = 1
    model: Path = Path("bundled")
    network: ModelSpec | None = None
    store: Path | None = None
    dataset: str
    corruptions: Annotated[tuple[str, ...], Field(min_length=1)]
    anchor_model: Path | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    validation: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    mode: Literal["auto", "plain", "bf16"] = "auto"
    extraction: ExtractionOptions = Field(default_factory=ExtractionOptions)

    @field_validator("corruptions", mode="before")
    @classmethod
    def _resolve(cls, value: Any) -> Any:
        if isinstance(value, str):
            return parse_corruptions(value)
        if isinstance(value, list | tuple):
            return parse_corruptions(",".join(map(str, value)))
        return value

    @classmethod
    def of(cls, /, **fields: Any) -> "ExtractionRun":
        """Validate a run's parameters.

        Raises:
            ConfigError: an unknown key, or a value out of its range; it is named.
        """
        run = validated(cls, fields, what="extraction")
        if (run.anchor_model is None) != (run.extraction.anchor == "clean"):
            raise ConfigError(
                "extraction: an anchor other than the clean model and its checkpoint "
                "(anchor_model) go together"
            )
        return run


def read_run(path: Path) -> ExtractionRun:
    """Read a run from a TOML file.

    Raises:
        MissingFileError: there is none.
        FormatError: it is not TOML.
        ConfigError: an unknown key, or a value out of its range.
    """
    return ExtractionRun.of(**read_toml(path))
