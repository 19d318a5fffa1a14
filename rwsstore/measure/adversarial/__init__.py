"""Accuracy under attack: budgets, the worst case per image, and transfer between models."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.measure.adversarial.measuring import (
        NO_ATTACK as NO_ATTACK,
        AttackGrid as AttackGrid,
        attack_grid as attack_grid,
        evaluate_attacks as evaluate_attacks,
    )
    from rwsstore.measure.adversarial.report import (
        CLEAN as CLEAN,
        DEFAULT_BUDGETS as DEFAULT_BUDGETS,
        STANDARD_ATTACKS as STANDARD_ATTACKS,
        WORST_CASE as WORST_CASE,
        AdversarialOptions as AdversarialOptions,
        AdversarialReport as AdversarialReport,
        Budget as Budget,
        ComparedAccuracy as ComparedAccuracy,
        Masked as Masked,
        MeasuredAccuracy as MeasuredAccuracy,
        ModelUnderAttack as ModelUnderAttack,
        Transfer as Transfer,
        budget_name as budget_name,
        parse_attacks as parse_attacks,
        parse_budgets as parse_budgets,
    )
    from rwsstore.measure.adversarial.showing import (
        attack_table as attack_table,
        plot_attacks as plot_attacks,
    )
else:
    faces.lazy(__name__)
