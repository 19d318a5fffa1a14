"""From a recipe to a published patch, from a file to a bundle; corrupted copies of data sets."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.making.bundle import build_bundle as build_bundle
    from rwsstore.making.config import (
        DeltaConfig as DeltaConfig,
        ExtractionRun as ExtractionRun,
        read_config as read_config,
        read_run as read_run,
    )
    from rwsstore.making.export import (
        ExportOptions as ExportOptions,
        ExportReport as ExportReport,
        export_corrupted as export_corrupted,
    )
    from rwsstore.making.hazards import KINDS as KINDS, Hazard as Hazard, patch_kind as patch_kind
    from rwsstore.making.options import (
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
        signature as signature,
        starting_point as starting_point,
    )
else:
    faces.lazy(__name__)
