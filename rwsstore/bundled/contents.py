"""Where a bundle's parts lie, the bundle that comes with the package, and its compute formats."""

from pathlib import Path
from typing import Literal, Self

from pydantic import ConfigDict, ValidationError

from rwsstore import models, store
from rwsstore.canonical import Digest
from rwsstore.config import Frozen, first_fault
from rwsstore.errors import FormatError, MismatchError, MissingFileError
from rwsstore.files import read_bounded
from rwsstore.models import FormatAgreement, model_card_path, read_model_card

BUNDLED = "bundled"
"""What the bundled model and store are called wherever a path is taken."""

_FOLDER = Path(__file__).parent / "cifar10"
_LARGEST_CARD = 2**22


def bundled_folder() -> Path:
    """The folder of the bundle in the installed package; it may be read-only.

    Raises:
        MissingFileError: the package was built without it.
    """
    if not model_path(_FOLDER).is_file():
        raise MissingFileError(
            f"{_FOLDER} holds no bundle: this rwsstore was installed without its model; install "
            "it again"
        )
    return _FOLDER


def bundled_model() -> "models.Classifier":
    """Load the clean model that comes with the package, in evaluation mode."""
    return models.load_clean_model(model_path(bundled_folder()))


def bundled_store() -> "store.Store":
    """Open the store that comes with the package, read-only: a base for a store of one's own."""
    return store.Store(store_path(bundled_folder()), read_only=True)


def model_path(folder: Path) -> Path:
    """The clean model of the bundle in a folder."""
    return folder / "model.safetensors"


def store_path(folder: Path) -> Path:
    """The patches of the bundle in a folder."""
    return folder / "store"


def card_path(folder: Path) -> Path:
    """The model card of the bundle in a folder, as JSON; CARD.md beside it is for people."""
    return folder / "card.json"


class CardPart(Frozen):
    """A part of a bundle's card."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what was written.

        Raises:
            MissingFileError: there is no such file.
            FormatError: it is damaged, or a newer rwsstore wrote it.
        """
        data = read_bounded(path, limit=_LARGEST_CARD, what=str(path))
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise FormatError(f"{path} is damaged: {first_fault(error)}") from None


class _Measured(CardPart):
    """What serving needs of a bundle's card; the builder in `rwsstore.making` has the whole."""

    model_config = ConfigDict(extra="ignore")

    version: Literal[1] = 1
    weights: str
    formats: tuple[FormatAgreement, ...] = ()


def packaged_formats(checkpoint: Path, *, weights: Digest) -> tuple[FormatAgreement, ...]:
    """Read what was measured of a checkpoint: its own card, or that of the bundle it belongs to.

    Raises:
        MissingFileError, FormatError, MismatchError: as `read_model_card`.
    """
    path = card_path(checkpoint.parent)
    in_bundle = checkpoint == model_path(checkpoint.parent) and path.exists()
    if model_card_path(checkpoint).exists() or not in_bundle:
        return read_model_card(checkpoint, weights=weights).formats
    card = _Measured.read(path)
    if card.weights != weights:
        raise MismatchError(
            f"{path} is of the weights {card.weights[:12]}, {checkpoint.name} has "
            f"{weights[:12]}: measure them (rws card {checkpoint} --dataset ...)"
        )
    return card.formats
