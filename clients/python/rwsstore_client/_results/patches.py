"""The patches of the store."""

__all__ = ["Card", "CardPoint", "Patch", "PatchPage"]

from rwsstore_client._results.base import Result
from rwsstore_client._results.patchsets import ResolvedPatch


class CardPoint(Result):
    """Accuracies at one strength, in percent: `ta` on clean images, `ra` under what it is for."""

    alpha: float
    ta: float
    ra: float


class Card(Result):
    """TA and RA over strengths, measured on so many images."""

    images: int
    points: tuple[CardPoint, ...]


class Patch(Result):
    """One patch of the service's store.

    Attributes:
        name: its name.
        version: under that name, from 1 on; None where no name reaches it.
        digest: SHA-256 of its file.
        kind: what made it: rws, composed, ...
        corruption: the image corruption that it is for.
        severity: of that corruption, 1 to 5.
        attack: the attack that it is for; None as well where an older service does not tell.
        budget: ε of that attack.
        bits: of its quantized tensors.
        alpha: recommended strength.
        alpha_minimum: least strength that it may be given.
        alpha_maximum: greatest.
        layers: the patched layers.
        parts: what a composed patch is made of.
        architecture: fingerprint of the model's tensor names, shapes and dtypes.
        clean_weights: fingerprint of the clean model that it was extracted from.
        fits: whether that is the served one.
        touched_bytes: bytes of the model's weights that it touches; None where a part of a
            composed patch is missing, or an older service does not tell.
        payload_bytes: bytes of its numbers.
        file_bytes: bytes of its file.
        layer: "bundled" if it came with the service, else "user".
        card: what it buys, where that was measured.
        dataset: what it was trained on.
        tool: what wrote it.
    """

    name: str
    version: int | None
    digest: str
    kind: str
    corruption: str | None
    severity: int | None
    attack: str | None = None
    budget: float | None = None
    bits: int | None
    alpha: float
    alpha_minimum: float
    alpha_maximum: float
    layers: tuple[str, ...]
    parts: tuple[ResolvedPatch, ...]
    architecture: str
    clean_weights: str
    fits: bool
    touched_bytes: int | None = None
    payload_bytes: int
    file_bytes: int
    layer: str
    card: Card | None
    dataset: str | None
    tool: str


class PatchPage(Result):
    """Some of the patches that a listing has."""

    patches: tuple[Patch, ...]
    total: int
