"""Left for one version: corrupted copies are made by `rwsstore.making`."""

from rwsstore.moved import moved

_NAMES = (
    "LAYOUTS",
    "PICTURE_FORMATS",
    "ExportOptions",
    "ExportReport",
    "Layout",
    "export_corrupted",
)

__getattr__ = moved(__name__, dict.fromkeys(_NAMES, "rwsstore.making"))
