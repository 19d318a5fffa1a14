"""What patches are and do: norms, likeness, gains on every corruption, feature maps."""

__all__ = [
    "OTHER",
    "RELABELINGS",
    "Comparison",
    "FeatureMaps",
    "GainOptions",
    "Gains",
    "GroupContrast",
    "LayerMaps",
    "LayerSummary",
    "Measure",
    "Signature",
    "Similarity",
    "View",
    "check_picture",
    "compare_signatures",
    "comparison_text",
    "contrast_groups",
    "draw_comparison",
    "draw_features",
    "feature_maps",
    "find_signatures",
    "gather_signatures",
    "group_of",
    "measure_gains",
    "summarize",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.analysis.comparison import (
        RELABELINGS,
        Comparison,
        GroupContrast,
        LayerSummary,
        contrast_groups,
        summarize,
    )
    from rwsstore.analysis.features import FeatureMaps, LayerMaps, View, draw_features, feature_maps
    from rwsstore.analysis.gains import GainOptions, Gains, Measure, measure_gains
    from rwsstore.analysis.showing import comparison_text, draw_comparison
    from rwsstore.analysis.similarity import (
        OTHER,
        Signature,
        Similarity,
        compare_signatures,
        find_signatures,
        gather_signatures,
        group_of,
    )
    from rwsstore.drawing import check_picture
else:
    faces.lazy(__name__)
