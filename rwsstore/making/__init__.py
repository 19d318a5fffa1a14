"""From a recipe to a published patch, from a file to a bundle; corrupted copies of data sets."""

__all__ = [
    "HAZARDS",
    "LAYOUTS",
    "PICTURE_FORMATS",
    "Anchor",
    "BundleCard",
    "BundleConfig",
    "DeltaConfig",
    "DeltaOptions",
    "ExportOptions",
    "ExportReport",
    "ExtractionOptions",
    "ExtractionRun",
    "Hazard",
    "Layout",
    "SweepItem",
    "build_bundle",
    "card_markdown",
    "export_corrupted",
    "extract_all",
    "extract_delta",
    "extract_patch",
    "hazard_for",
    "project_out",
    "publish_delta",
    "read_config",
    "read_run",
    "signature",
    "starting_point",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.making.bundle import build_bundle
    from rwsstore.making.card import BundleCard
    from rwsstore.making.config import (
        BundleConfig,
        DeltaConfig,
        ExtractionRun,
        read_config,
        read_run,
    )
    from rwsstore.making.delta_publishing import publish_delta
    from rwsstore.making.export import LAYOUTS, ExportReport, export_corrupted
    from rwsstore.making.hazards import HAZARDS, Hazard, hazard_for
    from rwsstore.making.layouts import PICTURE_FORMATS, ExportOptions, Layout
    from rwsstore.making.markdown import card_markdown
    from rwsstore.making.once import SweepItem
    from rwsstore.making.options import Anchor, DeltaOptions, ExtractionOptions
    from rwsstore.making.pipeline import extract_delta
    from rwsstore.making.projection import project_out, signature
    from rwsstore.making.robust import extract_patch, starting_point
    from rwsstore.making.robust_sweep import extract_all
else:
    faces.lazy(__name__)
