"""What patches buy: accuracies, tables, pictures, and the rival that needs no patch."""

__all__ = [
    "RIVAL_BATCH_SIZES",
    "CorruptionResult",
    "EvaluationOptions",
    "EvaluationReport",
    "Figure",
    "Interval",
    "Pair",
    "Resampling",
    "RivalResult",
    "StoredResult",
    "accuracy",
    "bootstrap",
    "choose_patches",
    "correctness",
    "evaluate",
    "find_patches",
    "mean_of",
    "plot_report",
    "predictions",
    "report_table",
    "rival_accuracy",
    "with_batch_statistics",
]

from rwsstore.evaluation.accuracy import accuracy, correctness, predictions
from rwsstore.evaluation.bootstrap import Figure, Interval, Resampling, bootstrap, mean_of
from rwsstore.evaluation.choice import choose_patches, find_patches
from rwsstore.evaluation.evaluate import EvaluationOptions, evaluate
from rwsstore.evaluation.plots import plot_report
from rwsstore.evaluation.report import (
    CorruptionResult,
    EvaluationReport,
    Pair,
    RivalResult,
    StoredResult,
)
from rwsstore.evaluation.rival import RIVAL_BATCH_SIZES, rival_accuracy, with_batch_statistics
from rwsstore.evaluation.table import report_table
