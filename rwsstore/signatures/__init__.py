"""Left for one version: signatures are extracted by `rwsstore.making`."""

from rwsstore.moved import moved

_NAMES = (
    "Anchor",
    "ExtractionOptions",
    "ExtractionRun",
    "SweepItem",
    "extract_all",
    "extract_patch",
    "project_out",
    "read_run",
    "signature",
    "starting_point",
)

__getattr__ = moved(__name__, dict.fromkeys(_NAMES, "rwsstore.making"))
