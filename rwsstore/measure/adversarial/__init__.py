"""Accuracy under attack: budgets, the worst case per image, and transfer between models."""

import typing

from rwsstore import faces

if typing.TYPE_CHECKING:
    from rwsstore.measure.adversarial.measuring import (
        NO_ATTACK as NO_ATTACK,
        attack_grid as attack_grid,
        evaluate_attacks as evaluate_attacks,
    )
    from rwsstore.measure.adversarial.report import (
        DEFAULT_BUDGETS as DEFAULT_BUDGETS,
        WORST_CASE as WORST_CASE,
        AdversarialOptions as AdversarialOptions,
        AdversarialReport as AdversarialReport,
        Transfer as Transfer,
        parse_attacks as parse_attacks,
        parse_budgets as parse_budgets,
    )
    from rwsstore.measure.adversarial.showing import (
        attack_table as attack_table,
        plot_attacks as plot_attacks,
    )
else:
    faces.lazy(__name__)
