"""Where a bundle's parts lie, and the bundle that comes with the package."""

__all__ = ["BUNDLED", "bundled_folder", "bundled_model", "bundled_store", "card_path"]

from pathlib import Path

from rwsstore.errors import MissingFileError
from rwsstore.models import Classifier, load_clean_model
from rwsstore.store import Store

BUNDLED = "bundled"
"""What the bundled model and store are called wherever a path is taken."""

_FOLDER = Path(__file__).parent / "cifar10"


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


def bundled_model() -> Classifier:
    """Load the clean model that comes with the package, in evaluation mode."""
    return load_clean_model(model_path(bundled_folder()))


def bundled_store() -> Store:
    """Open the store that comes with the package, read-only: a base for a store of one's own."""
    return Store(store_path(bundled_folder()), read_only=True)


def model_path(folder: Path) -> Path:
    """The clean model of the bundle in a folder."""
    return folder / "model.safetensors"


def store_path(folder: Path) -> Path:
    """The patches of the bundle in a folder."""
    return folder / "store"


def card_path(folder: Path) -> Path:
    """The model card of the bundle in a folder, as JSON; CARD.md beside it is for people."""
    return folder / "card.json"
