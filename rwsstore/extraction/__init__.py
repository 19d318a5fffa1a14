"""What every way of making a patch has in common: evidence, records, and making it only once."""

__all__ = [
    "Accuracy",
    "SweepItem",
    "data_parameters",
    "make_once",
    "probe_for",
    "run_file",
    "training_parameters",
    "with_evidence",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.extraction.evidence import Accuracy, probe_for, with_evidence
    from rwsstore.extraction.records import data_parameters, run_file, training_parameters
    from rwsstore.extraction.sweep import SweepItem, make_once
else:
    faces.lazy(__name__)
