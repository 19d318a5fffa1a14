"""The wire contract: what the service answers with, for the service and for whoever asks it.

Whoever reads ignores members that a newer service adds, and does without those that an older one
does not have. The service describes these classes in its OpenAPI document. No httpx in here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

# A newer service may have more values than are described.
_SET_ACTIONS = ("start", "replace", "clear", "apply", "scale", "remove", "rollback")
_ACTIONS = (*_SET_ACTIONS, "publish", "compose", "delete")


def _sent_in_full(schema: dict[str, Any]) -> None:
    """Say of the members that an older service does not have, that today's sends them all."""
    schema["additionalProperties"] = False
    schema["required"] = list(schema["properties"])


def _never_null(schema: dict[str, Any]) -> None:
    """Describe a member that only an older service leaves out."""
    schema.update(schema.pop("anyOf")[0])


class Result(BaseModel):
    """Base of all answers: immutable, and open for members of newer services.

    Those that hold a list are iterated over as it is; pydantic's own are over their fields.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_extra={"additionalProperties": False}
    )


class AppliedPatch(Result):
    """One patch of a set, as it was asked for."""

    patch: str = Field(description="What it was called: a name, name@version or digest.")
    digest: str = Field(description="SHA-256 of its file.")
    alpha: float


class ResolvedPatch(Result):
    """One patch whose tensors are added; composed patches stand as their parts."""

    name: str
    digest: str
    alpha: float


class PatchSet(Result):
    """A patch set that is, or was made, active."""

    model: str
    generation: int = Field(description="Its number; the ETag is the same in quotes.")
    patches: tuple[AppliedPatch, ...]
    resolved: tuple[ResolvedPatch, ...] = Field(
        description="In the order in which they are added; the state digest is a hash of these and "
        "of the clean weights."
    )
    state_digest: str
    at: datetime = Field(description="When it became active.")
    fault: str | None = Field(
        None,
        description="Why the active patch set could not be restored at the start; predictions with "
        "it are refused until another is set.",
    )

    def __len__(self) -> int:
        return len(self.patches)

    def __iter__(self) -> Iterator[AppliedPatch]:  # type: ignore[override]
        return iter(self.patches)

    def __contains__(self, patch: object) -> bool:
        return any(patch in (found.patch, found.digest) for found in self.patches)

    def __getitem__(self, patch: str) -> AppliedPatch:
        """Find a patch by what it was called, or by its digest: `patchset["fog"].alpha`.

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
    """One line of the history."""

    action: str = Field(json_schema_extra={"enum": [*_SET_ACTIONS]})
    actor: str = Field(description="Name of the token that was used.")
    address: str = Field(description="Where the request came from.")
    request_id: str
    previous_state_digest: str
    rolled_back_to: int | None = None


class History(Result):
    """Generations, the newest first."""

    model: str
    generations: tuple[Generation, ...]
    next_before: int | None = Field(description="Ask with before= this for older ones.")

    def __len__(self) -> int:
        return len(self.generations)

    def __iter__(self) -> Iterator[Generation]:  # type: ignore[override]
        return iter(self.generations)

    def __getitem__(self, index: int) -> Generation:
        return self.generations[index]


class AuditRecord(Result):
    """One change."""

    seq: int = Field(description="Its number, from 1 on, without gaps.")
    at: datetime
    action: str = Field(json_schema_extra={"enum": [*_ACTIONS]})
    subject: str = Field(description="The model, or the patch as name@version.")
    actor: str = Field(description="Name of the token that was used.")
    address: str = Field(description="Where the request came from.")
    request_id: str
    generation: int | None = Field(description="That it made; none for a change to the store.")
    digests: tuple[str, ...] = Field(
        description="Of the active patches after it, or of the patch that was stored or deleted."
    )
    state_digest: str = Field(description="After it; empty for a change to the store.")
    previous_state_digest: str = Field(description="Before it.")
    chain: str = Field(description="SHA-256 over the chain of the record before and this record.")


class AuditLog(Result):
    """Records, the newest first."""

    records: tuple[AuditRecord, ...]
    next_before: int | None = Field(description="Ask with before= this for older ones.")

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[AuditRecord]:  # type: ignore[override]
        return iter(self.records)

    def __getitem__(self, index: int) -> AuditRecord:
        return self.records[index]


class Verification(Result):
    """Whether the weights in memory are those that were loaded and patched."""

    model: str
    generation: int
    state_digest: str
    live_weights: str = Field(description="Weights fingerprint of the tensors in memory.")
    tensors: int
    ok: bool
    problems: tuple[str, ...]


class CardPoint(Result):
    """Accuracies at one strength, in percent."""

    alpha: float
    ta: float = Field(description="On clean images.")
    ra: float = Field(description="On images with the patch's corruption, or under its attack.")


class Card(Result):
    """TA and RA over strengths."""

    images: int
    points: tuple[CardPoint, ...]


class Patch(Result):
    """One patch of the store."""

    model_config = ConfigDict(json_schema_extra=_sent_in_full)

    name: str
    version: int | None = Field(description="Under its name; none where no name reaches it.")
    digest: str
    kind: str
    corruption: str | None
    severity: int | None
    attack: str | None = Field(None, description="The attack that it is for.")
    budget: float | None = Field(None, description="ε of that attack.")
    bits: int | None
    alpha: float = Field(description="Recommended strength.")
    alpha_minimum: float
    alpha_maximum: float
    layers: tuple[str, ...]
    parts: tuple[ResolvedPatch, ...] = Field(description="Of a composed patch.")
    architecture: str
    clean_weights: str
    fits: bool = Field(description="Whether it was extracted from the served clean model.")
    touched_bytes: int | None = Field(
        None,
        description="Bytes of the model's weights that it touches; none where a part of a composed "
        "patch is missing.",
    )
    payload_bytes: int
    file_bytes: int
    layer: str = Field(json_schema_extra={"enum": ["user", "bundled"]})
    card: Card | None
    dataset: str | None
    tool: str


class PatchPage(Result):
    """A page of patches."""

    patches: tuple[Patch, ...]
    total: int


class Fingerprint(Result):
    """SHA-256 fingerprints of the clean model."""

    architecture: str
    weights: str


class InputInfo(Result):
    """What the model takes."""

    channels: int
    height: int
    width: int
    formats: tuple[str, ...]
    resize: str
    max_images: int
    max_pixels: int
    max_image_bytes: int


class OfferedFormat(Result):
    """A compute format that the model may be served in."""

    name: str
    agreement: float | None = Field(
        description="Images whose likeliest class is the same as in float32, in percent; the "
        "lowest of the clean model and of each patch that was measured. None where it was not "
        "measured."
    )
    images: int | None = Field(description="Measured on.")
    milliseconds: float | None = Field(
        description="That a batch took at the start; none where it was not tried."
    )


class ComputeInfo(Result):
    """In which arithmetic and layout the model is computed."""

    format: str = Field(description="In use, also for an answer's logits.")
    why: str = Field(
        json_schema_extra={"enum": ["probe", "operator", "only_offered", "exact"]},
        description="probe: the fastest of those offered. operator: RWS_COMPUTE says so. "
        "only_offered: there is no other. exact: batching is off, so that logits are the library's "
        "to the bit.",
    )
    agreement: float | None = Field(
        description="Of the format in use, as in offered; none where it was not measured."
    )
    offered: tuple[OfferedFormat, ...]


class ModelInfo(Result):
    """The served model."""

    model_config = ConfigDict(json_schema_extra=_sent_in_full)

    name: str
    network: str
    parameters: int
    classes: tuple[str, ...]
    fingerprint: Fingerprint
    input: InputInfo
    compute: ComputeInfo | None = Field(None, json_schema_extra=_never_null)
    patchset: PatchSet


class ModelPage(Result):
    """All served models."""

    models: tuple[ModelInfo, ...]


class Label(Result):
    """A class and its probability."""

    label: str
    index: int
    probability: float


class Prediction(Result):
    """What one image shows, the likeliest first."""

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


_TOLD = 5
"""Images that predictions tell of when they are printed."""


class Predictions(Result):
    """Predictions, in the order of the images, and which weights made them."""

    model: str
    patches: tuple[AppliedPatch, ...]
    state_digest: str
    generation: int | None = Field(
        description="Of the active patch set; none where the request brought its own."
    )
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

    def __iter__(self) -> Iterator[Prediction]:  # type: ignore[override]
        return iter(self.predictions)

    def __getitem__(self, index: int) -> Prediction:
        return self.predictions[index]

    def __str__(self) -> str:
        """The likeliest class of each of the first images, and what was on: one line."""
        told = [f"{one.top1.label} {one.top1.probability:.1%}" for one in self.predictions[:_TOLD]]
        more = len(self.predictions) - len(told)
        on = ",".join(f"{one.patch}={one.alpha:g}" for one in self.patches) or "no patch"
        return f"{', '.join(told)}{f', {more} more' if more else ''} ({self.model}, {on})"
