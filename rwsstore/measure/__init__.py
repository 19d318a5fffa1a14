"""What patches buy: accuracies, tables, pictures, and the rival that needs no patch."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.measure.accuracy import (
        accuracy as accuracy,
        correctness as correctness,
        predictions as predictions,
    )
    from rwsstore.measure.bootstrap import (
        Figure as Figure,
        Interval as Interval,
        Resampling as Resampling,
        bootstrap as bootstrap,
        mean_of as mean_of,
    )
    from rwsstore.measure.evaluate import (
        EvaluationOptions as EvaluationOptions,
        choose_patches as choose_patches,
        evaluate as evaluate,
        find_patches as find_patches,
    )
    from rwsstore.measure.grid import Grid as Grid, gap_recovered as gap_recovered
    from rwsstore.measure.report import (
        EvaluationReport as EvaluationReport,
        plot_report as plot_report,
        report_table as report_table,
    )
    from rwsstore.measure.rival import (
        rival_accuracy as rival_accuracy,
        with_batch_statistics as with_batch_statistics,
    )
else:
    faces.lazy(__name__)
