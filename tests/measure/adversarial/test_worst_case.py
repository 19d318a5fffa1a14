"""What holds of the worst case, whatever was measured."""

from itertools import product

import torch
from hypothesis import given, strategies as st

from rwsstore.measure.adversarial import WORST_CASE
from rwsstore.measure.adversarial.measuring import NO_ATTACK, AttackGrid, add_worst_case
from rwsstore.measure.bootstrap import Resampling
from rwsstore.measure.grid import Grid

MODELS, ATTACKS, EPSILONS = ("m", "n"), ("a", "b"), (0.1, 0.2, 0.3)
PAIRS = tuple((one, other) for one in MODELS for other in MODELS)


@st.composite
def measured(draw: st.DrawFn) -> AttackGrid:
    count = draw(st.integers(1, 8))
    column = st.lists(st.booleans(), min_size=count, max_size=count).map(torch.tensor)
    grid: AttackGrid = Grid(Resampling(0))
    for name in MODELS:
        grid.put(("", name), NO_ATTACK, draw(column))
    for pair, attack, epsilon in product(PAIRS, ATTACKS, EPSILONS):
        grid.put(pair, (attack, epsilon), draw(column))
    return grid


@given(measured())
def test_it_is_what_everything_inside_the_budget_left(grid: AttackGrid) -> None:
    add_worst_case(grid, MODELS, ATTACKS, EPSILONS)
    for (made_on, tried_on), epsilon in product(PAIRS, EPSILONS):
        worst = grid.right((made_on, tried_on), [(WORST_CASE, epsilon)])
        clean = grid.right(("", tried_on), [NO_ATTACK])
        inside = [(attack, e) for attack in ATTACKS for e in EPSILONS if e <= epsilon]
        tried = [grid.right((made_on, tried_on), [attack]) for attack in inside]
        for image, stays in enumerate(worst.tolist()):
            assert stays == all(bool(right[image]) for right in (clean, *tried))


@given(measured())
def test_it_never_rises_with_the_budget(grid: AttackGrid) -> None:
    add_worst_case(grid, MODELS, ATTACKS, EPSILONS)
    for pair in PAIRS:
        counts = [int(grid.right(pair, [(WORST_CASE, one)]).sum()) for one in EPSILONS]
        assert counts == sorted(counts, reverse=True)
