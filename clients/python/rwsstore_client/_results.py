"""What the service answers with. Members that a newer service adds are ignored."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Result(BaseModel):
    """Base of all answers: immutable, and open for members of newer services."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class AppliedPatch(Result):
    """One patch of a set, as it was asked for.

    Attributes:
        patch: what it was called: a name, name@version or digest.
        digest: SHA-256 of its file.
        alpha: its strength.
    """

    patch: str
    digest: str
    alpha: float


class ResolvedPatch(Result):
    """One patch whose tensors are added; composed patches stand as their parts."""

    name: str
    digest: str
    alpha: float


class PatchSet(Result):
    """A patch set that is, or was made, active: `patchset["fog"].alpha`, `"fog" in patchset`.

    Attributes:
        model: the model's name.
        generation: its number, for `if_match`.
        patches: as they were asked for.
        resolved: what is added to the clean weights, in order.
        state_digest: a hash of these and of the clean weights.
        at: when it became active.
        fault: why the active one could not be restored when the service started; predictions with
            it are refused until another is set.
    """

    model: str
    generation: int
    patches: tuple[AppliedPatch, ...]
    resolved: tuple[ResolvedPatch, ...]
    state_digest: str
    at: datetime
    fault: str | None = None

    def __len__(self) -> int:
        return len(self.patches)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[AppliedPatch]:  # type: ignore[override]
        return iter(self.patches)

    def __contains__(self, patch: object) -> bool:
        return any(patch in (found.patch, found.digest) for found in self.patches)

    def __getitem__(self, patch: str) -> AppliedPatch:
        """Find a patch by what it was called, or by its digest.

        Raises:
            KeyError: it is not on.
        """
        for found in self.patches:
            if patch in (found.patch, found.digest):
                return found
        raise KeyError(patch)

    def __str__(self) -> str:
        return ",".join(f"{found.patch}={found.alpha!r}" for found in self.patches) or "none"


class Generation(PatchSet):
    """One line of the history.

    Attributes:
        action: what was done: apply, replace, rollback, ...
        actor: name of the token that was used.
        address: where the request came from.
        request_id: of the request.
        previous_state_digest: before it.
        rolled_back_to: the generation that a rollback went back to.
    """

    action: str
    actor: str
    address: str
    request_id: str
    previous_state_digest: str
    rolled_back_to: int | None = None


class History(Result):
    """Generations, the newest first.

    Attributes:
        model: the model's name.
        generations: one page of them.
        next_before: ask with `before=` this for older ones; None at the end.
    """

    model: str
    generations: tuple[Generation, ...]
    next_before: int | None

    def __len__(self) -> int:
        return len(self.generations)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[Generation]:  # type: ignore[override]
        return iter(self.generations)

    def __getitem__(self, index: int) -> Generation:
        return self.generations[index]


class Verification(Result):
    """Whether the weights in the service's memory are those that were loaded and patched.

    Attributes:
        model: the model's name.
        generation: the active one.
        state_digest: what the weights should be.
        live_weights: fingerprint of the tensors in memory.
        tensors: how many were compared.
        ok: whether every bit is right.
        problems: what is not.
    """

    model: str
    generation: int
    state_digest: str
    live_weights: str
    tensors: int
    ok: bool
    problems: tuple[str, ...]


class Fingerprint(Result):
    """SHA-256 fingerprints of the clean model."""

    architecture: str
    weights: str


class InputInfo(Result):
    """What the model takes, and how much of it at once."""

    channels: int
    height: int
    width: int
    formats: tuple[str, ...]
    resize: str
    max_images: int
    max_pixels: int
    max_image_bytes: int


class OfferedFormat(Result):
    """A compute format that the model may be served in.

    Attributes:
        name: of the format.
        agreement: its top-1 agreement with float32, in percent, the lowest of clean model and
            patches; None where it was not measured.
        images: measured on.
        milliseconds: that a batch took when the service started; None where it was not tried.
    """

    name: str
    agreement: float | None
    images: int | None
    milliseconds: float | None


class ComputeInfo(Result):
    """In which arithmetic and layout the model is computed.

    Attributes:
        format: in use.
        why: probe, operator, only_offered or exact.
        agreement: of the format in use, as in `offered`.
        offered: what it was chosen from.
    """

    format: str
    why: str
    agreement: float | None
    offered: tuple[OfferedFormat, ...]


class ModelInfo(Result):
    """A served model, with its active patch set; `compute` is None from older services."""

    name: str
    network: str
    parameters: int
    classes: tuple[str, ...]
    fingerprint: Fingerprint
    input: InputInfo
    compute: ComputeInfo | None = None
    patchset: PatchSet


class ModelPage(Result):
    """All served models."""

    models: tuple[ModelInfo, ...]


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


class Label(Result):
    """A class and its probability.

    Attributes:
        label: name of the class.
        index: its number.
        probability: 0 to 1.
    """

    label: str
    index: int
    probability: float


class Prediction(Result):
    """What one image shows.

    Attributes:
        top: classes, the likeliest first.
    """

    top: tuple[Label, ...]

    @property
    def top1(self) -> Label:
        """The likeliest class."""
        return self.top[0]


class Timing(Result):
    """Where the time went, in milliseconds."""

    queued_ms: float
    decode_ms: float
    compute_ms: float


class Predictions(Result):
    """Predictions in the order of the images: `answer[0].top1.label`, `for image in answer`.

    Attributes:
        model: the model's name.
        patches: the patch set that made them.
        state_digest: the weights that made them.
        generation: of the active patch set; None where the request brought its own.
        predictions: one for each image.
        timing: where the time went; for several requests, the sum.
    """

    model: str
    patches: tuple[AppliedPatch, ...]
    state_digest: str
    generation: int | None
    predictions: tuple[Prediction, ...]
    timing: Timing

    @property
    def top1(self) -> Label:
        """The likeliest class of the first image."""
        return self.predictions[0].top1

    @property
    def labels(self) -> tuple[str, ...]:
        """The likeliest label of every image."""
        return tuple(prediction.top1.label for prediction in self.predictions)

    def __len__(self) -> int:
        return len(self.predictions)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[Prediction]:  # type: ignore[override]
        return iter(self.predictions)

    def __getitem__(self, index: int) -> Prediction:
        return self.predictions[index]


class AuditRecord(Result):
    """One change, to a patch set or to the store.

    Attributes:
        seq: its number, from 1 on, without gaps.
        at: when it was made.
        action: what was done: apply, publish, delete, ...
        subject: the model, or the patch as name@version.
        actor: name of the token that was used.
        address: where the request came from.
        request_id: of the request.
        generation: that it made; None for a change to the store.
        digests: of the patches that are on after it, or of the one that was stored or deleted.
        state_digest: after it; "" for a change to the store.
        previous_state_digest: before it.
        chain: SHA-256 over the chain of the record before and this record.
    """

    seq: int
    at: datetime
    action: str
    subject: str
    actor: str
    address: str
    request_id: str
    generation: int | None
    digests: tuple[str, ...]
    state_digest: str
    previous_state_digest: str
    chain: str


class AuditLog(Result):
    """Records of the audit log, the newest first.

    Attributes:
        records: one page of them.
        next_before: ask with `before=` this for older ones; None at the end.
    """

    records: tuple[AuditRecord, ...]
    next_before: int | None

    def __len__(self) -> int:
        return len(self.records)

    # pydantic's own iterates over the fields.
    def __iter__(self) -> Iterator[AuditRecord]:  # type: ignore[override]
        return iter(self.records)

    def __getitem__(self, index: int) -> AuditRecord:
        return self.records[index]
