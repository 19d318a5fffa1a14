"""Ranking, choosing, and what is divided by nothing."""

import math

import pytest

from rwsstore.errors import ConfigError
from rwsstore.probes.criticality.measuring import criticality_from
from tests.probes.criticality.making import made_up


def test_indices_are_ratios() -> None:
    found = criticality_from(["a", "b", "c"], [0.5, 1.0, 0.25], images=7)
    assert found.indices == (0.5, 2.0, 0.25)
    assert (found.layers, found.weakness, found.images) == (("a", "b", "c"), (0.5, 1.0, 0.25), 7)
    assert found.ranking == ("b", "a", "c")


def test_nothing_before() -> None:
    found = criticality_from("abcd", [0.0, 0.0, 2.0, 0.0], images=1)
    assert found.indices == (0.0, 0.0, math.inf, 0.0)
    assert found.ranking == ("c", "a", "b", "d")  # of equals the shallower


def test_the_top() -> None:
    found = made_up([0.1, 3.0, 2.0, 4.0])
    assert found.top() == ("net.conv4",)
    assert found.top(3) == ("net.conv4", "net.conv2", "net.conv3")
    assert found.top(2, among={"net.conv1", "net.conv3"}) == ("net.conv3", "net.conv1")


@pytest.mark.parametrize(("layers", "k"), [(1, 1), (13, 1), (17, 1), (33, 2), (49, 2), (120, 6)])
def test_a_twentieth_is_chosen(layers: int, k: int) -> None:
    assert made_up([1.0] * layers).default_k == k


@pytest.mark.parametrize("k", [0, -1, 5])
def test_more_layers_than_there_are(k: int) -> None:
    with pytest.raises(ConfigError, match=f"the {k} most critical layers .* there are 4"):
        made_up([1.0, 2.0, 3.0, 4.0]).top(k)
    with pytest.raises(ConfigError, match="there are 1"):
        made_up([1.0, 2.0]).top(2, among={"net.conv1"})
