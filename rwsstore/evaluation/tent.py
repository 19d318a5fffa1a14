"""Left for one version: TENT stands with the other rival."""

from rwsstore.moved import moved

_NAMES = ("TENT_BATCH_SIZE", "Tent", "TentOptions", "tent_accuracy")

__getattr__ = moved(__name__, dict.fromkeys(_NAMES, "rwsstore.evaluation.rival"))
