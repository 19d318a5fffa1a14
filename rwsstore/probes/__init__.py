"""What patches are and do: norms, likeness, gains on every corruption, feature maps."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.drawing import check_picture as check_picture
    from rwsstore.probes.comparison import (
        RELABELINGS as RELABELINGS,
        Comparison as Comparison,
        GroupContrast as GroupContrast,
        LayerSummary as LayerSummary,
        contrast_groups as contrast_groups,
        summarize as summarize,
    )
    from rwsstore.probes.features import (
        FeatureMaps as FeatureMaps,
        LayerMaps as LayerMaps,
        View as View,
        draw_features as draw_features,
        feature_maps as feature_maps,
    )
    from rwsstore.probes.gains import (
        GainOptions as GainOptions,
        Gains as Gains,
        Measure as Measure,
        measure_gains as measure_gains,
    )
    from rwsstore.probes.showing import (
        comparison_text as comparison_text,
        draw_comparison as draw_comparison,
    )
    from rwsstore.probes.similarity import (
        OTHER as OTHER,
        Signature as Signature,
        Similarity as Similarity,
        compare_signatures as compare_signatures,
        find_signatures as find_signatures,
        gather_signatures as gather_signatures,
        group_of as group_of,
    )
else:
    faces.lazy(__name__)
