"""What patches buy: accuracies, tables, pictures, and the rival that needs no patch."""

__all__ = [
    "RIVAL_BATCH_SIZES",
    "TENT_BATCH_SIZE",
    "CorruptionResult",
    "EvaluationOptions",
    "EvaluationReport",
    "Figure",
    "Interval",
    "MixedStream",
    "Pair",
    "Resampling",
    "RivalResult",
    "StoredResult",
    "Tent",
    "TentOptions",
    "accuracy",
    "bootstrap",
    "choose_patches",
    "correctness",
    "evaluate",
    "find_patches",
    "mean_of",
    "mixed_stream",
    "plot_report",
    "predictions",
    "report_table",
    "rival_accuracy",
    "tent_accuracy",
    "with_batch_statistics",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.evaluation.accuracy import accuracy, correctness, predictions
    from rwsstore.evaluation.bootstrap import Figure, Interval, Resampling, bootstrap, mean_of
    from rwsstore.evaluation.evaluate import (
        EvaluationOptions,
        choose_patches,
        evaluate,
        find_patches,
    )
    from rwsstore.evaluation.report import (
        CorruptionResult,
        EvaluationReport,
        Pair,
        RivalResult,
        StoredResult,
        plot_report,
        report_table,
    )
    from rwsstore.evaluation.rival import (
        RIVAL_BATCH_SIZES,
        TENT_BATCH_SIZE,
        MixedStream,
        Tent,
        TentOptions,
        mixed_stream,
        rival_accuracy,
        tent_accuracy,
        with_batch_statistics,
    )
else:
    faces.lazy(__name__)
