"""Robust Weight Signatures: projection, extraction, and the patch that comes of them."""

__all__ = [
    "Anchor",
    "ExtractionOptions",
    "ExtractionRun",
    "SweepItem",
    "extract_all",
    "extract_patch",
    "is_current",
    "patch_recipe",
    "project_out",
    "read_run",
    "signature",
    "starting_point",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.signatures.extraction import extract_patch, patch_recipe, starting_point
    from rwsstore.signatures.options import Anchor, ExtractionOptions
    from rwsstore.signatures.projection import project_out, signature
    from rwsstore.signatures.run import ExtractionRun, read_run
    from rwsstore.signatures.sweep import SweepItem, extract_all, is_current
else:
    faces.lazy(__name__)
