"""What images show."""

__all__ = ["Label", "Prediction", "Predictions", "Timing"]

from collections.abc import Iterator

from rwsstore_client._results.base import Result
from rwsstore_client._results.patchsets import AppliedPatch


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
