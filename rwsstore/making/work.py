"""The work folder of a bundle: what is kept between runs."""

__all__ = ["Work", "claim_work"]

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rwsstore.making.config import BundleConfig
from rwsstore.making.marker import claim_folder
from rwsstore.store import Store

_LATER = {("training",): {"optimizer": "sgd"}, ("extraction", "training"): {"optimizer": "sgd"}}
"""Keys that configurations did not have at first, where they stand, and what they meant then."""


@dataclass(frozen=True)
class Work:
    """What lies in the work folder."""

    folder: Path

    @property
    def clean(self) -> Path:
        """The clean model, folded."""
        return self.folder / "clean.safetensors"

    @property
    def unfolded(self) -> Path:
        """The network as it was trained."""
        return self.folder / "clean.unfolded.safetensors"

    @property
    def summary(self) -> Path:
        """How its training went."""
        return self.folder / "training.json"

    @property
    def state(self) -> Path:
        """Its training under way."""
        return self.folder / "clean.state"

    @property
    def runs(self) -> Path:
        """Trainings of patches under way."""
        return self.folder / "runs"

    @property
    def wide(self) -> Store:
        """The patches at 32 bits."""
        return Store(self.folder / "store32")

    @property
    def narrow(self) -> Store:
        """The patches as they are shipped."""
        return Store(self.folder / "store")


def claim_work(work: Path, config: BundleConfig, origin: Mapping[str, str]) -> Work:
    """Mark a work folder as this bundle's, or see that it is.

    Patches against failing weights may be added, changed and left out between runs: each knows
    itself what it was made with. Everything else may not.

    Raises:
        ConfigError: it is another bundle's; the first difference is named.
        FormatError: the mark is damaged.
        StoreError: it could not be written.
    """
    run = config.model_dump(mode="json", exclude={"deltas": True, "measuring": {"hazard_images"}})
    for path, fields in _LATER.items():
        place = run
        for step in path:
            place = place[step]
        for name, value in fields.items():
            if place[name] == value:
                del place[name]
    claim_folder(work, {"config": run, **origin})
    return Work(work)
