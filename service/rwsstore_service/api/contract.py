"""Bodies of requests and answers, with their bounds."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, Strict, model_validator

from rwsstore.config import Frozen
from rwsstore.patches import MAX_PATCHES
from rwsstore.patches.metadata import NAME_PATTERN
from rwsstore_service.engine.format_choice import WhyFormat
from rwsstore_service.engine.records import Action, SetAction

REFERENCE_PATTERN = r"^[a-z0-9][a-z0-9_.@-]{0,70}$"
"""What may be a name, `name@2`, or digits of a digest; the store then reads it."""


def _positive_zero(value: float) -> float:
    return value + 0.0


Reference = Annotated[
    str,
    Field(
        pattern=REFERENCE_PATTERN,
        max_length=71,
        description="A patch: its name, name@version, digest, or 8 or more of its first digits.",
        examples=["fog"],
    ),
]
# Strict: true is no number, and "nan" is no text that becomes one.
Alpha = Annotated[
    float,
    Strict(),
    Field(ge=0, le=1e6, allow_inf_nan=False, description="Strength; 1 is a patch as it was made."),
    AfterValidator(_positive_zero),
]
TaLoss = Annotated[
    float,
    Strict(),
    Field(
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="Instead of alpha: the points of accuracy on clean images that the patch may "
        "cost; alpha is then taken from its card.",
    ),
]
GenerationNumber = Annotated[int, Strict(), Field(ge=0, lt=2**63)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
Text = Annotated[str, Field(max_length=200)]


class Request(Frozen):
    """What a caller sends: without unknown keys."""


class Answer(Frozen):
    """What the service answers with."""


class StrengthRequest(Request):
    """How strong a patch is to be; neither value is its recommended strength."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"alpha": 0.8}, {"ta_loss": 1.0}]})

    alpha: Alpha | None = None
    ta_loss: TaLoss | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.alpha is not None and self.ta_loss is not None:
            raise ValueError("give alpha or ta_loss, not both")
        return self


class PatchChoice(StrengthRequest):
    """One patch of a set, and how strong."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"patch": "fog", "alpha": 0.8}]})

    patch: Reference


_Choices = Annotated[
    tuple[PatchChoice, ...],
    Field(max_length=MAX_PATCHES, description="Each patch once, in any order."),
]


class PatchSetRequest(Request):
    """The wanted patch set; an empty one is the clean model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"patches": [{"patch": "fog", "alpha": 0.6}, {"patch": "gaussian_noise"}]},
            ]
        }
    )

    patches: _Choices


class CompositionRequest(Request):
    """Patches to be stored as one, under a name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "foggy_night",
                    "parts": [
                        {"patch": "fog", "alpha": 0.6},
                        {"patch": "gaussian_noise", "alpha": 0.4},
                    ],
                }
            ]
        }
    )

    name: Name
    parts: Annotated[_Choices, Field(min_length=1)]
    expected_version: (
        Annotated[
            int,
            Strict(),
            Field(ge=0, lt=2**31, description="The name's latest version as the caller saw it."),
        ]
        | None
    ) = None


class RollbackRequest(Request):
    """The generation to go back to."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"generation": 3}]})

    generation: GenerationNumber


class AppliedPatch(Answer):
    """One patch of a set, as it was asked for."""

    patch: str = Field(description="What it was called: a name, name@version or digest.")
    digest: str = Field(description="SHA-256 of its file.")
    alpha: float


class ResolvedPatch(Answer):
    """One patch whose tensors are added; composed patches stand as their parts."""

    name: str
    digest: str
    alpha: float


class PatchSetAnswer(Answer):
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


class GenerationAnswer(PatchSetAnswer):
    """One line of the history."""

    action: SetAction
    actor: str = Field(description="Name of the token that was used.")
    address: str = Field(description="Where the request came from.")
    request_id: str
    previous_state_digest: str
    rolled_back_to: int | None = None


class HistoryAnswer(Answer):
    """Generations, the newest first."""

    model: str
    generations: tuple[GenerationAnswer, ...]
    next_before: int | None = Field(description="Ask with before= this for older ones.")


class AuditRecord(Answer):
    """One change."""

    seq: int = Field(description="Its number, from 1 on, without gaps.")
    at: datetime
    action: Action
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


class AuditAnswer(Answer):
    """Records, the newest first."""

    records: tuple[AuditRecord, ...]
    next_before: int | None = Field(description="Ask with before= this for older ones.")


class VerificationAnswer(Answer):
    """Whether the weights in memory are those that were loaded and patched."""

    model: str
    generation: int
    state_digest: str
    live_weights: str = Field(description="Weights fingerprint of the tensors in memory.")
    tensors: int
    ok: bool
    problems: tuple[str, ...]


class CardPointAnswer(Answer):
    """Accuracies at one strength, in percent."""

    alpha: float
    ta: float = Field(description="On clean images.")
    ra: float = Field(description="On images with the patch's corruption, or under its attack.")


class CardAnswer(Answer):
    """TA and RA over strengths."""

    images: int
    points: tuple[CardPointAnswer, ...]


class PatchAnswer(Answer):
    """One patch of the store."""

    name: str
    version: int | None = Field(description="Under its name; none where no name reaches it.")
    digest: str
    kind: str
    corruption: str | None
    severity: int | None
    attack: str | None = Field(description="The attack that it is for.")
    budget: float | None = Field(description="ε of that attack.")
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
        description="Bytes of the model's weights that it touches; none where a part of a composed "
        "patch is missing."
    )
    payload_bytes: int
    file_bytes: int
    layer: Literal["user", "bundled"]
    card: CardAnswer | None
    dataset: str | None
    tool: str


class PatchList(Answer):
    """A page of patches."""

    patches: tuple[PatchAnswer, ...]
    total: int


class Fingerprint(Answer):
    """SHA-256 fingerprints of the clean model."""

    architecture: str
    weights: str


class InputDescription(Answer):
    """What the model takes."""

    channels: int
    height: int
    width: int
    formats: tuple[str, ...]
    resize: str
    max_images: int
    max_pixels: int
    max_image_bytes: int


class OfferedFormat(Answer):
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


class ComputeAnswer(Answer):
    """In which arithmetic and layout the model is computed."""

    format: str = Field(description="In use, also for an answer's logits.")
    why: WhyFormat = Field(
        description="probe: the fastest of those offered. operator: RWS_COMPUTE says so. "
        "only_offered: there is no other. exact: batching is off, so that logits are the library's "
        "to the bit."
    )
    agreement: float | None = Field(
        description="Of the format in use, as in offered; none where it was not measured."
    )
    offered: tuple[OfferedFormat, ...]


class ModelAnswer(Answer):
    """The served model."""

    name: str
    network: str
    parameters: int
    classes: tuple[str, ...]
    fingerprint: Fingerprint
    input: InputDescription
    compute: ComputeAnswer
    patchset: PatchSetAnswer


class ModelList(Answer):
    """All served models."""

    models: tuple[ModelAnswer, ...]


class LabelProbability(Answer):
    """A class and its probability."""

    label: str
    index: int
    probability: float


class Prediction(Answer):
    """What one image shows, the likeliest first."""

    top: tuple[LabelProbability, ...]


class Timing(Answer):
    """Where the time went, in milliseconds."""

    queued_ms: float
    decode_ms: float
    compute_ms: float


class PredictAnswer(Answer):
    """Predictions, in the order of the images, and which weights made them."""

    model: str
    patches: tuple[AppliedPatch, ...]
    state_digest: str
    generation: int | None = Field(
        description="Of the active patch set; none where the request brought its own."
    )
    predictions: tuple[Prediction, ...]
    timing: Timing
