"""Image corruptions: the 19 of the common-corruptions benchmark, batched and reproducible."""

__all__ = [
    "CORRUPTIONS",
    "GROUPS",
    "SEVERITIES",
    "Chain",
    "Corrupt",
    "CorruptedDataset",
    "Corruption",
    "Random",
    "SeverityTable",
    "Transform",
    "UnchangedWarning",
    "corrupt",
    "frost_source",
    "load_frost_overlays",
    "parse_corruptions",
    "severity_table",
    "table_for",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.corruptions.apply import UnchangedWarning, corrupt
    from rwsstore.corruptions.frost import frost_source, load_frost_overlays
    from rwsstore.corruptions.registry import CORRUPTIONS, GROUPS, parse_corruptions
    from rwsstore.corruptions.rows import Corruption
    from rwsstore.corruptions.severity import (
        SEVERITIES,
        SeverityTable,
        severity_table,
        table_for,
    )
    from rwsstore.corruptions.transforms import Chain, Corrupt, CorruptedDataset, Random, Transform
else:
    faces.lazy(__name__)
