"""Left for one version: making a patch is in `rwsstore.making`."""

from rwsstore.moved import moved

_NAMES = (
    "DeltaConfig",
    "DeltaOptions",
    "Hazard",
    "extract_delta",
    "hazard_for",
    "publish_delta",
)

__getattr__ = moved(__name__, dict.fromkeys(_NAMES, "rwsstore.making"))
