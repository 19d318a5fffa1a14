import numpy as np
import pytest
import torch

from rwsstore.corruptions.keys import ImageKeys, normal_quantiles

EXPECTED = [
    ["0xb8d8edf951b16364", "0xf13ce03adc38dab7"],
    ["0x76860ab745aaa082", "0x168a0b99ef1b294"],
]


def test_numbers_are_the_same_for_ever() -> None:
    """Written down once: a change here changes everybody's images."""
    words = ImageKeys(7, "fog", 3, [1000000, -1]).words(2, stream=1)
    assert [[hex(word) for word in row] for row in words.tolist()] == EXPECTED


@pytest.mark.parametrize(
    "other",
    [
        ImageKeys(2, "fog", 3, [4]),
        ImageKeys(1, "snow", 3, [4]),
        ImageKeys(1, "fog", 2, [4]),
        ImageKeys(1, "fog", 3, [5]),
        ImageKeys(1, "fog", 3, [-4]),
        ImageKeys(-1, "fog", 3, [4]),
        ImageKeys(1, "fog", 3, [2**40 + 4]),
    ],
)
def test_each_part_of_the_key_counts(other: ImageKeys) -> None:
    assert not torch.equal(ImageKeys(1, "fog", 3, [4]).uniform(8), other.uniform(8))


def test_streams_of_one_key_differ() -> None:
    keys = ImageKeys(1, "fog", 3, [4])
    assert not torch.equal(keys.uniform(8, stream=0), keys.uniform(8, stream=1))


def test_draws_belong_to_the_image_not_to_its_place() -> None:
    together = ImageKeys(-3, "fog", 1, [10, 11, 12])
    alone = ImageKeys(-3, "fog", 1, [12])
    assert torch.equal(together.normal(6)[2], alone.normal(6)[0])
    assert np.array_equal(together.bits16(2, 3)[2], alone.bits16(2, 3)[0])
    assert torch.equal(together.part(2, 3).normal(6), alone.normal(6))


def test_distributions_have_their_moments() -> None:
    keys = ImageKeys(0, "fog", 1, range(50))
    normal, uniform = keys.normal(2000), keys.uniform(2000)
    assert abs(float(normal.mean())) < 0.01
    assert abs(float(normal.std()) - 1.0) < 0.01
    assert abs(float(uniform.mean()) - 0.5) < 0.005
    assert abs(float(uniform.std()) - 12**-0.5) < 0.005
    assert 0.0 <= float(uniform.min()) < float(uniform.max()) < 1.0


def test_every_bit_is_a_coin() -> None:
    words = ImageKeys(0, "fog", 1, range(100)).bits16(2000).astype(np.int64)
    shares = [(words >> bit & 1).mean() for bit in range(16)]
    np.testing.assert_allclose(shares, 0.5, atol=0.005)


def test_images_and_places_are_not_alike() -> None:
    drawn = ImageKeys(0, "fog", 1, range(200)).normal(500).double()
    between = torch.corrcoef(drawn).fill_diagonal_(0)
    along = torch.corrcoef(drawn.T).fill_diagonal_(0)
    assert float(between.abs().max()) < 5.5 / 500**0.5
    assert float(along.abs().max()) < 5.5 / 200**0.5


def test_quantiles_are_those_of_the_normal_distribution() -> None:
    quantiles = normal_quantiles().double()
    assert bool((quantiles.diff() > 0).all())
    assert abs(float(quantiles.mean())) < 1e-9
    assert abs(float(quantiles.square().mean()) - 1) < 1e-6
    assert abs(float((quantiles**4).mean()) - 3) < 0.01
    np.testing.assert_allclose(quantiles[[1490, 10398, 55138]], [-2.0, -1.0, 1.0], atol=1e-3)
