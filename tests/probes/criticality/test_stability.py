"""Batches against all images."""

import statistics

import pytest
import torch

from rwsstore.files import Results
from rwsstore.probes.criticality import measure_criticality, measure_weaknesses, stability_of
from rwsstore.probes.criticality.measuring import Weaknesses
from tests.probes.criticality.making import SHORT, data, noisy, small


def test_what_is_reported_follows_from_the_draws() -> None:
    weaknesses, labels = noisy()
    found = stability_of(weaknesses, labels, sizes=(5, 20), draws=6, k=2, seed=3)
    assert found.reference == weaknesses.criticality()
    assert found.top == found.reference.top(2)
    assert [batch.size for batch in found.batches] == [5, 20]
    for batch in found.batches:
        assert len(batch.tops) == found.draws == 6
        shared = [len(set(top) & set(found.top)) / 2 for top in batch.tops]
        assert batch.recovered == pytest.approx(statistics.mean(shared))
        assert batch.same == pytest.approx(sum(share == 1 for share in shared) / 6)
        names, count = batch.most_frequent
        assert count == batch.tops.count(names) == max(map(batch.tops.count, batch.tops))


def test_a_batch_has_as_many_of_each_class() -> None:
    # The layer that an image moves is its class's, so that indices count classes.
    labels = torch.arange(40) // 10
    values = torch.ones(40, 2, dtype=torch.float64)
    values[:, 1] = labels.double()
    found = stability_of(Weaknesses(("a", "b"), values), labels, sizes=(4, 8), draws=4, k=1)
    for batch in found.batches:
        assert batch.means == (1.0, 1.5)
        assert batch.deviations == (0.0, 0.0)
        assert (batch.recovered, batch.same) == (1.0, 1.0)


def test_batches_differ_and_larger_ones_less() -> None:
    weaknesses, labels = noisy(images=400, layers=3)
    small_one, large = stability_of(weaknesses, labels, sizes=(10, 200), k=1).batches
    assert max(large.deviations) < min(small_one.deviations)
    assert large.means == pytest.approx(weaknesses.criticality().indices, rel=0.05)


def test_the_spread_is_a_standard_deviation() -> None:
    # Batches of one image whose index is 1 or 3: the mean says how often it was 3.
    values = torch.tensor([[1.0], [3.0]] * 10, dtype=torch.float64)
    labels = torch.zeros(20, dtype=torch.int64)
    (batch,) = stability_of(Weaknesses(("a",), values), labels, sizes=(1,), k=1).batches
    mean, deviation = batch.means[0], batch.deviations[0]
    assert 1 < mean < 3
    assert deviation**2 == pytest.approx(20 / 19 * (mean - 1) * (3 - mean))


def test_seeds() -> None:
    weaknesses, labels = noisy()
    one, same, other = (stability_of(weaknesses, labels, sizes=(10,), seed=s) for s in (1, 1, 2))
    assert one == same
    assert one.batches != other.batches


def test_a_draw_does_not_depend_on_the_others() -> None:
    weaknesses, labels = noisy()
    few = stability_of(weaknesses, labels, sizes=(10, 30), draws=3)
    many = stability_of(weaknesses, labels, sizes=(30,), draws=5)
    assert few.batches[1].tops == many.batches[0].tops[:3]


def test_indices_without_end_have_no_deviation() -> None:
    values = torch.ones(12, 2, dtype=torch.float64)
    values[:, 0] = 0
    found = stability_of(Weaknesses(("a", "b"), values), torch.zeros(12).long(), sizes=(4,), k=1)
    (batch,) = found.batches
    assert batch.deviations[0] == 0
    assert batch.deviations[1] != batch.deviations[1]
    assert batch.most_frequent == (("b",), 20)


def test_a_model_is_attacked_once() -> None:
    model, (images, labels) = small(), data(12)
    results = Results(None, {})
    weaknesses = measure_weaknesses(model, images, labels, SHORT, seed=4, results=results)
    found = stability_of(weaknesses, labels, sizes=(3, 6), draws=3, k=2, seed=4)
    assert found.reference == measure_criticality(model, images, labels, SHORT, seed=4)
    assert len(results) == 3  # 12 images in batches of 4
    assert [batch.size for batch in found.batches] == [3, 6]
