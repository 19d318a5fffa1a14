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
    "parse_layers",
    "short_names",
    "summarize",
]

from rwsstore.analysis.comparison import Comparison, LayerSummary, summarize
from rwsstore.analysis.feature_pictures import draw_features
from rwsstore.analysis.features import FeatureMaps, LayerMaps, View, feature_maps
from rwsstore.analysis.gains import GainOptions, Gains, Measure, measure_gains
from rwsstore.analysis.groups import RELABELINGS, GroupContrast, contrast_groups
from rwsstore.analysis.heatmaps import draw_comparison
from rwsstore.analysis.names import parse_layers, short_names
from rwsstore.analysis.signatures import (
    OTHER,
    Signature,
    find_signatures,
    gather_signatures,
    group_of,
)
from rwsstore.analysis.similarity import Similarity, compare_signatures
from rwsstore.analysis.text import comparison_text
from rwsstore.drawing import check_picture
