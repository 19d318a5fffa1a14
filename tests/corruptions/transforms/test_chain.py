import pickle

import pytest
import torch

from rwsstore.corruptions import Chain, Corrupt, Random, corrupt
from rwsstore.errors import ConfigError
from tests.corruptions.pictures import smooth_pictures

BATCH = smooth_pictures(5)
BLUR, NOISE, FOG = Corrupt("motion_blur", 3), Corrupt("gaussian_noise", 2), Corrupt("fog", 4)
INDICES = [8, 3, 1, 90, 4]


def test_a_chain_is_one_after_the_other_under_one_index() -> None:
    blurred = corrupt(BATCH, "motion_blur", 3, seed=0, indices=INDICES)
    expected = corrupt(blurred, "gaussian_noise", 2, seed=0, indices=INDICES)
    assert torch.equal((BLUR >> NOISE)(BATCH, indices=INDICES), expected)
    assert not torch.equal((NOISE >> BLUR)(BATCH, indices=INDICES), expected)


def test_chains_join_and_grouping_does_not_matter() -> None:
    assert (BLUR >> NOISE) >> FOG == BLUR >> (NOISE >> FOG) == Chain((BLUR, NOISE, FOG))


def test_without_an_index_every_stage_goes_by_the_image_that_came_in() -> None:
    chain = BLUR >> NOISE
    whole = chain(BATCH)
    for place, image in enumerate(BATCH):
        assert torch.equal(chain(image), whole[place])


def test_a_mixture_can_be_a_stage() -> None:
    chain = Random("blur", seed=1) >> Random("noise", seed=2)
    assert chain(BATCH, indices=INDICES).shape == BATCH.shape
    assert pickle.loads(pickle.dumps(chain)) == chain


def test_another_seed_reaches_every_stage() -> None:
    assert (BLUR >> NOISE).with_seed(7) == BLUR.with_seed(7) >> NOISE.with_seed(7)


def test_the_same_numbers_are_not_drawn_twice() -> None:
    for first, second in ((NOISE, NOISE), (Random(), Random("fog"))):
        with pytest.raises(ConfigError, match="another seed"):
            _ = first >> second
    with pytest.raises(ConfigError, match="another seed"):
        _ = NOISE >> Corrupt("gaussian_noise", 2.5)  # between two steps: the lower one's numbers
    assert len((NOISE >> NOISE.with_seed(1)).stages) == 2
    contrast = Corrupt("contrast", 1)
    assert len((contrast >> contrast).stages) == 2


def test_only_transforms_chain() -> None:
    with pytest.raises(ConfigError, match="no stages"):
        Chain(())
    with pytest.raises(TypeError):
        _ = BLUR >> "fog"  # type: ignore[operator]  # that is the point
