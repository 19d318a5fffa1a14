"""From a recipe to a published patch, from a file to a bundle; corrupted copies of data sets."""

__all__ = [
    "KINDS",
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
    "KindRow",
    "Layout",
    "Plan",
    "SweepItem",
    "build_bundle",
    "card_markdown",
    "changes",
    "delta_plan",
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
    "signature_plans",
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
    from rwsstore.making.export import LAYOUTS, ExportReport, export_corrupted
    from rwsstore.making.hazards import KINDS, Hazard, KindRow, hazard_for
    from rwsstore.making.layouts import PICTURE_FORMATS, ExportOptions, Layout
    from rwsstore.making.markdown import card_markdown
    from rwsstore.making.options import Anchor, DeltaOptions, ExtractionOptions
    from rwsstore.making.pipeline import (
        Plan,
        SweepItem,
        delta_plan,
        extract_all,
        extract_delta,
        extract_patch,
        publish_delta,
        signature_plans,
    )
    from rwsstore.making.projection import changes, project_out, signature, starting_point
else:
    faces.lazy(__name__)
