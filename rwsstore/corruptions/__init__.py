"""Image corruptions: the 19 of the common-corruptions benchmark, batched and reproducible."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.corruptions.apply import UnchangedWarning as UnchangedWarning, corrupt as corrupt
    from rwsstore.corruptions.frost import (
        frost_source as frost_source,
        load_frost_overlays as load_frost_overlays,
    )
    from rwsstore.corruptions.keys import Setting as Setting
    from rwsstore.corruptions.registry import (
        CORRUPTIONS as CORRUPTIONS,
        GROUPS as GROUPS,
        corruption as corruption,
        parse_corruptions as parse_corruptions,
    )
    from rwsstore.corruptions.rows import (
        SEVERITIES as SEVERITIES,
        severity_table as severity_table,
        table_for as table_for,
    )
    from rwsstore.corruptions.transforms import (
        Chain as Chain,
        Corrupt as Corrupt,
        CorruptedDataset as CorruptedDataset,
        Random as Random,
        Transform as Transform,
    )
else:
    faces.lazy(__name__)
