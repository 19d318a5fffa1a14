import pickle
from collections import Counter

import torch

from rwsstore.corruptions import CORRUPTIONS, GROUPS, Random, corrupt
from tests.corruptions.pictures import smooth_pictures

BATCH = smooth_pictures(40)


def test_each_image_is_what_corrupt_makes_of_its_choice() -> None:
    mixture = Random("all", clean=0.2, seed=3)
    indices = list(range(100, 140))
    made = mixture(BATCH, indices=indices)
    kinds = set()
    for place, choice in enumerate(mixture.choices(indices)):
        image = BATCH[place : place + 1]
        if choice is not None:
            name, severity = choice
            image = corrupt(image, name, severity, seed=3, indices=[indices[place]])
        assert torch.equal(made[place], image[0])
        kinds.add(choice)
    assert None in kinds
    assert len(kinds) > 15


def test_the_draw_follows_from_seed_and_index_alone() -> None:
    mixture = Random(seed=1)
    assert mixture.choices(range(50))[20:30] == mixture.choices(range(20, 30))
    assert mixture.choices(range(50)) != mixture.with_seed(2).choices(range(50))
    whole = mixture(BATCH, indices=range(40))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mixture(BATCH[order], indices=order), whole[order])
    assert torch.equal(mixture(BATCH[7], indices=7), whole[7])


def test_shares_are_the_weights() -> None:
    mixture = Random(
        ["snow", "fog", "frost"], weights=[1, 3, 0], clean=0.5, severities=[1, 2.5, 2.5]
    )
    drawn = mixture.choices(range(20_000))
    names = Counter(choice[0] for choice in drawn if choice)
    steps = Counter(choice[1] for choice in drawn if choice)
    assert abs(drawn.count(None) / 20_000 - 0.5) < 0.02
    assert abs(names["fog"] / names["snow"] - 3) < 0.3
    assert names["frost"] == 0
    assert abs(steps[2.5] / steps[1] - 2) < 0.2


def test_all_corruptions_and_severities_by_default() -> None:
    drawn = Random().choices(range(5_000))
    assert {choice[0] for choice in drawn if choice} == set(CORRUPTIONS)
    assert {choice[1] for choice in drawn if choice} == {1, 2, 3, 4, 5}


def test_all_clean_is_the_image_itself() -> None:
    assert torch.equal(Random(clean=1.0)(BATCH), BATCH)


def test_the_batch_that_is_given_stays_as_it_is() -> None:
    before = BATCH.clone()
    Random("noise")(BATCH)
    assert torch.equal(BATCH, before)


def test_mixtures_are_values() -> None:
    mixture = Random("weather", severities=[3], weights=[1, 2, 3, 4, 5])
    assert mixture == Random(GROUPS["weather"], severities=(3.0,), weights=(1.0, 2, 3, 4, 5))
    assert pickle.loads(pickle.dumps(mixture)) == mixture
    assert hash(mixture) == hash(pickle.loads(pickle.dumps(mixture)))
