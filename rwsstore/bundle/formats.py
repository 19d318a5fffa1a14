"""Which compute formats a packaged model may be served in: measured once, read at every start."""

__all__ = ["measure_formats", "packaged_formats"]

from collections.abc import Iterable
from pathlib import Path

from rwsstore.bundle.card import BundleCard
from rwsstore.bundle.contents import card_path, model_path
from rwsstore.canonical import Digest
from rwsstore.data import ImageSet
from rwsstore.errors import MismatchError
from rwsstore.models import (
    Classifier,
    FormatAgreement,
    model_card_path,
    read_model_card,
)
from rwsstore.patches import Patch
from rwsstore.progress import SILENT, Reporter
from rwsstore.runtime import PatchBag, measure_agreement


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


def packaged_formats(checkpoint: Path, *, weights: Digest) -> tuple[FormatAgreement, ...]:
    """Read what was measured of a checkpoint: its own card, or that of the bundle it belongs to.

    Args:
        checkpoint: the file of the model; it is not read.
        weights: fingerprint of that model, its BatchNorm folded.

    Raises:
        MissingFileError: there is no card.
        FormatError: the card is damaged, or a newer rwsstore wrote it.
        MismatchError: the card is of other weights.
    """
    if model_card_path(checkpoint).exists() or not _in_bundle(checkpoint):
        return read_model_card(checkpoint, weights=weights).formats
    path = card_path(checkpoint.parent)
    card = BundleCard.read(path)
    if card.weights != weights:
        raise MismatchError(
            f"{path} is of the weights {card.weights[:12]}, {checkpoint.name} has "
            f"{weights[:12]}: measure them (rws card {checkpoint} --dataset ...)"
        )
    return card.formats


def _in_bundle(checkpoint: Path) -> bool:
    folder = checkpoint.parent
    return checkpoint == model_path(folder) and card_path(folder).exists()
