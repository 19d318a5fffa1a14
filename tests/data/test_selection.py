import numpy as np
from hypothesis import given, strategies as st

from rwsstore.data.imageset import balanced_indices

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60)
SEEDS = st.integers(0, 2**64)


@given(LABELS, SEEDS, st.data())
def test_counts_differ_by_at_most_one_where_classes_have_enough(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, len(labels)))
    array = np.array(labels, dtype=np.int64)
    chosen = balanced_indices(array, n, seed)
    assert len(set(chosen.tolist())) == n
    assert chosen.tolist() == sorted(chosen.tolist())
    available, taken = np.bincount(array, minlength=7), np.bincount(array[chosen], minlength=7)
    # A class below the largest count, by more than one, is one that has no more to give.
    short = taken < taken.max() - 1
    assert (taken[short] == available[short]).all()


@given(LABELS, SEEDS, st.data())
def test_a_smaller_choice_is_part_of_a_larger_one(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    large = data.draw(st.integers(1, len(labels)))
    small = data.draw(st.integers(1, large))
    array = np.array(labels, dtype=np.int64)
    assert set(balanced_indices(array, small, seed)) <= set(balanced_indices(array, large, seed))


def test_choice_is_the_same_on_every_machine() -> None:
    labels = np.arange(100, dtype=np.int64) % 4
    assert balanced_indices(labels, 8, 7).tolist() == GOLDEN


def test_the_odd_image_goes_to_different_classes() -> None:
    labels = np.arange(10, dtype=np.int64)
    assert len({int(balanced_indices(labels, 1, seed)[0]) for seed in range(40)}) > 5


def test_every_image_is_chosen_about_equally_often() -> None:
    labels = np.repeat(np.arange(2, dtype=np.int64), 10)
    counts = np.zeros(20)
    for seed in range(400):
        counts[balanced_indices(labels, 4, seed)] += 1
    # 400 draws at 4/20: mean 80, standard deviation 8.
    assert counts.min() > 45
    assert counts.max() < 115


GOLDEN = [6, 21, 23, 32, 37, 67, 96, 98]
