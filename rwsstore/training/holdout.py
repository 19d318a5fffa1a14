"""Validation images: held out of the training split, never the test images."""

__all__ = ["hold_out"]

from rwsstore.data import ImageSet

_LARGEST = 5000


def hold_out(
    images: ImageSet, *, validation: int | None = None, limit: int | None = None, seed: int = 0
) -> tuple[ImageSet, ImageSet]:
    """Divide a training split into images to train on and images to choose by.

    Args:
        images: the training split.
        validation: how many to hold out; None: a tenth, at most 5,000.
        limit: use only so many images in all.
        seed: of both choices, which are balanced by class.

    Returns:
        (train, validation).

    Raises:
        ConfigError: more images are asked for than there are.
    """
    chosen = images if limit is None else images.limit(limit, seed)
    return chosen.split_off(validation or min(_LARGEST, max(1, len(chosen) // 10)), seed)
