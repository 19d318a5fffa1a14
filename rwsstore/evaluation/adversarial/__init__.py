"""Accuracy under attack: budgets, the worst case per image, and transfer between models."""

__all__ = [
    "CLEAN",
    "DEFAULT_BUDGETS",
    "STANDARD_ATTACKS",
    "WORST_CASE",
    "AdversarialOptions",
    "AdversarialReport",
    "Budget",
    "ComparedAccuracy",
    "Masked",
    "MeasuredAccuracy",
    "ModelUnderAttack",
    "Transfer",
    "attack_table",
    "budget_name",
    "evaluate_attacks",
    "parse_attacks",
    "parse_budgets",
    "plot_attacks",
]

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.evaluation.adversarial.measuring import evaluate_attacks
    from rwsstore.evaluation.adversarial.report import (
        CLEAN,
        DEFAULT_BUDGETS,
        STANDARD_ATTACKS,
        WORST_CASE,
        AdversarialOptions,
        AdversarialReport,
        Budget,
        ComparedAccuracy,
        Masked,
        MeasuredAccuracy,
        ModelUnderAttack,
        Transfer,
        budget_name,
        parse_attacks,
        parse_budgets,
    )
    from rwsstore.evaluation.adversarial.showing import attack_table, plot_attacks
else:
    faces.lazy(__name__)
