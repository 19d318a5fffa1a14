"""What patches are and do: norms, likeness, gains on every corruption, feature maps."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.probes.comparison import Comparison as Comparison, summarize as summarize
    from rwsstore.probes.features import FeatureMaps as FeatureMaps, feature_maps as feature_maps
    from rwsstore.probes.gains import (
        GainOptions as GainOptions,
        Gains as Gains,
        measure_gains as measure_gains,
    )
    from rwsstore.probes.groups import GroupContrast as GroupContrast
    from rwsstore.probes.report import Report as Report
    from rwsstore.probes.similarity import (
        Signature as Signature,
        compare_signatures as compare_signatures,
        find_signatures as find_signatures,
        gather_signatures as gather_signatures,
    )
else:
    faces.lazy(__name__)
