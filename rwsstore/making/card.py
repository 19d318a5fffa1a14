"""The model card of a bundle: what it is, how it was made, what was measured, what it is not."""

from typing import Literal

from rwsstore import __version__
from rwsstore.bundled import CardPart
from rwsstore.canonical import canonical_json
from rwsstore.making.config import BundleConfig
from rwsstore.measure import EvaluationReport
from rwsstore.models import FormatAgreement


class TrainingSummary(CardPart):
    """How the training of the clean model went.

    Attributes:
        images: trained on.
        validation_images: held out.
        validation_accuracy: on the latter, in percent.
        weights: fingerprint of the folded model.
    """

    images: int
    validation_images: int
    validation_accuracy: float
    weights: str


class PatchSummary(CardPart):
    """One patch of the bundle.

    Attributes:
        name: in the store.
        digest: of its file.
        payload_bytes: codes, scales and float32 deltas.
        file_bytes: of the whole file.
    """

    name: str
    digest: str
    payload_bytes: int
    file_bytes: int


class DeltaSummary(PatchSummary):
    """One that is against failing weights or adversaries, measured once on the test images.

    Attributes:
        kind: of the patch.
        attack: what it is against.
        budget: ε of that.
        touched_bytes: of the model's tensors that it touches.
        layers: how many layers that are.
        images: test images that accuracy under the hazard was measured on.
        ta: accuracy on all test images with the patch on, in percent.
        clean_model: accuracy under the hazard without it.
        patched: with it.
    """

    kind: str
    attack: str
    budget: float
    touched_bytes: int
    layers: int
    images: int
    ta: float
    clean_model: float
    patched: float


class BundleCard(CardPart):
    """Everything that is known of a bundle.

    Attributes:
        version: of this description.
        name: of the bundle.
        config: what it was made with.
        images: digest of the training images and their labels.
        test_images: digest of the test images.
        training: of the clean model.
        weights: weights fingerprint of the clean model.
        parameters: how many it has.
        patches: by name.
        report: the one measurement on the test images.
        deltas: those of the patches that are against failing weights or adversaries, with what was
            measured of them on the test images.
        formats: agreement of each compute format with float32, on the held-out images, of the
            clean model and with each patch on at its recommended strength.
        tool: what made it.
    """

    version: Literal[1] = 1
    name: str
    config: BundleConfig
    images: str
    test_images: str
    training: TrainingSummary
    weights: str
    parameters: int
    patches: tuple[PatchSummary, ...]
    report: EvaluationReport
    deltas: tuple[DeltaSummary, ...] = ()
    formats: tuple[FormatAgreement, ...] = ()
    tool: str = f"rwsstore {__version__}"

    def to_json(self) -> str:
        """Write the card as canonical JSON, with a newline at its end."""
        return canonical_json(self.model_dump(mode="json")) + "\n"
