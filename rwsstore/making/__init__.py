"""From a recipe to a published patch, from a file to a bundle; corrupted copies of data sets."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.making.bundle import build_bundle as build_bundle
    from rwsstore.making.card import BundleCard as BundleCard, card_markdown as card_markdown
    from rwsstore.making.config import (
        BundleConfig as BundleConfig,
        DeltaConfig as DeltaConfig,
        ExtractionRun as ExtractionRun,
        read_config as read_config,
        read_run as read_run,
    )
    from rwsstore.making.export import (
        LAYOUTS as LAYOUTS,
        PICTURE_FORMATS as PICTURE_FORMATS,
        ExportOptions as ExportOptions,
        ExportReport as ExportReport,
        export_corrupted as export_corrupted,
    )
    from rwsstore.making.hazards import (
        KINDS as KINDS,
        Hazard as Hazard,
        KindRow as KindRow,
        hazard_for as hazard_for,
        patch_kind as patch_kind,
    )
    from rwsstore.making.options import (
        Anchor as Anchor,
        DeltaOptions as DeltaOptions,
        ExtractionOptions as ExtractionOptions,
    )
    from rwsstore.making.pipeline import (
        Plan as Plan,
        SweepItem as SweepItem,
        delta_plan as delta_plan,
        extract_all as extract_all,
        extract_delta as extract_delta,
        extract_patch as extract_patch,
        publish_delta as publish_delta,
        signature_plans as signature_plans,
    )
    from rwsstore.making.projection import (
        changes as changes,
        project_out as project_out,
        signature as signature,
        starting_point as starting_point,
    )
else:
    faces.lazy(__name__)
