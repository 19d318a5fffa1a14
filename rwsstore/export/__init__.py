"""Corrupted copies of data sets on disk, in the layouts that published scripts read."""

__all__ = [
    "LAYOUTS",
    "PICTURE_FORMATS",
    "ExportOptions",
    "ExportReport",
    "Layout",
    "export_corrupted",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.export.export import LAYOUTS, export_corrupted
    from rwsstore.export.layout import Layout
    from rwsstore.export.options import PICTURE_FORMATS, ExportOptions
    from rwsstore.export.report import ExportReport
else:
    faces.lazy(__name__)
