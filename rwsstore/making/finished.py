"""A bundle that is there already: its card read, completed and written."""

__all__ = ["finished_bundle", "formats_known", "measure_formats", "measured_again", "write_card"]

from collections.abc import Iterable, Mapping
from pathlib import Path

from rwsstore.bundled import card_path, model_path, store_path
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError
from rwsstore.files import write_atomic
from rwsstore.making.card import BundleCard
from rwsstore.making.config import BundleConfig
from rwsstore.making.markdown import card_markdown
from rwsstore.models import Classifier, FormatAgreement, load_clean_model
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import FORMATS, PatchBag, measure_agreement
from rwsstore.store import Store


def finished_bundle(out: Path, config: BundleConfig, origin: Mapping[str, str]) -> BundleCard:
    """Read the card of a bundle that is there already.

    Raises:
        ConfigError: it is of another configuration or of other images.
        FormatError: it is damaged.
    """
    card = BundleCard.read(card_path(out))
    made_of = {"images": card.images, "test_images": card.test_images}
    if card.config != config or made_of != origin:
        raise ConfigError(
            f"{out} holds the finished bundle {card.name!r} of another configuration or of other "
            "images: nothing was changed; choose another folder"
        )
    return card


def formats_known(card: BundleCard) -> bool:
    """Whether the card speaks of every compute format that there is."""
    return FORMATS.keys() <= {one.name for one in card.formats}


def measure_formats(
    clean: Classifier,
    patches: Iterable[Patch],
    held_out: ImageSet,
    *,
    progress: Reporter = SILENT,
) -> tuple[FormatAgreement, ...]:
    """Compare every compute format with float32: clean, and with each patch as recommended."""
    found = tuple(patches)
    return measure_agreement(
        clean,
        held_out.images,
        patches=PatchBag(found),
        requests=[{patch.name: None} for patch in found],
        progress=progress,
    )


def measured_again(
    folder: Path, card: BundleCard, held_out: ImageSet, *, progress: Reporter = SILENT
) -> BundleCard:
    """Measure the formats of a finished bundle, and write them into its card; the rest stays.

    Args:
        folder: of the bundle.
        card: that lies there.
        held_out: the images on which everything was chosen.
        progress: where to report.

    Returns:
        The new card.
    """
    store = Store(store_path(folder), read_only=True)
    patches = [store.get(summary.digest) for summary in card.patches]
    clean = load_clean_model(model_path(folder))
    formats = measure_formats(clean, patches, held_out, progress=progress)
    card = card.model_copy(update={"formats": formats})
    write_card(folder, card)
    return card


def write_card(folder: Path, card: BundleCard) -> None:
    """Write a card into its bundle, as JSON and for people."""
    write_atomic(card_path(folder), card.to_json().encode())
    write_atomic(folder / "CARD.md", card_markdown(card).encode())
