"""What holds of the worst case, whatever was measured."""

import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore.measure.adversarial import CLEAN, WORST_CASE
from rwsstore.measure.adversarial.measuring import Tried, with_worst_case

ATTACKS, EPSILONS = ("a", "b"), (0.1, 0.2, 0.3)
PAIRS = [("m", "m"), ("m", "n"), ("n", "m"), ("n", "n")]


@st.composite
def measurements(draw: st.DrawFn) -> dict[Tried, Tensor]:
    count = draw(st.integers(1, 8))
    column = st.lists(st.booleans(), min_size=count, max_size=count).map(torch.tensor)
    found = {Tried("", name, CLEAN, 0.0): draw(column) for name in ("m", "n")}
    for made_on, tried_on in PAIRS:
        for attack in ATTACKS:
            for epsilon in EPSILONS:
                found[Tried(made_on, tried_on, attack, epsilon)] = draw(column)
    return found


@given(measurements())
def test_it_is_what_everything_inside_the_budget_left(correct: dict[Tried, Tensor]) -> None:
    found = with_worst_case(correct, ATTACKS, EPSILONS)
    assert all(torch.equal(found[what], right) for what, right in correct.items())
    assert len(found) == len(correct) + len(PAIRS) * len(EPSILONS)
    for made_on, tried_on in PAIRS:
        for epsilon in EPSILONS:
            worst = found[Tried(made_on, tried_on, WORST_CASE, epsilon)]
            for image, stays in enumerate(worst.tolist()):
                tried = [
                    bool(correct[Tried(made_on, tried_on, attack, smaller)][image])
                    for attack in ATTACKS
                    for smaller in EPSILONS
                    if smaller <= epsilon
                ]
                assert stays == all([bool(correct[Tried("", tried_on, CLEAN, 0.0)][image]), *tried])


@given(measurements())
def test_it_never_rises_with_the_budget(correct: dict[Tried, Tensor]) -> None:
    found = with_worst_case(correct, ATTACKS, EPSILONS)
    for made_on, tried_on in PAIRS:
        counts = [int(found[Tried(made_on, tried_on, WORST_CASE, one)].sum()) for one in EPSILONS]
        assert counts == sorted(counts, reverse=True)
