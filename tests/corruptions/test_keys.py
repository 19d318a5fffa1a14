import hashlib

import numpy as np
import pytest
import torch

from rwsstore.corruptions.keys import ImageKeys


def test_a_key_is_the_hash_of_seed_corruption_severity_and_index() -> None:
    digest = hashlib.sha256(b"7:fog:3:1000000").digest()
    key = np.frombuffer(digest, dtype="<u8", count=2)
    expected = np.random.Generator(np.random.Philox(key=key)).standard_normal(5, dtype=np.float32)
    drawn = ImageKeys(7, "fog", 3, [1000000]).normal(5)
    assert np.array_equal(drawn[0].numpy(), expected)


@pytest.mark.parametrize(
    "other",
    [
        ImageKeys(2, "fog", 3, [4]),
        ImageKeys(1, "snow", 3, [4]),
        ImageKeys(1, "fog", 2, [4]),
        ImageKeys(1, "fog", 3, [5]),
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
    assert torch.equal(together.integers(-2, 2, 6)[2], alone.integers(-2, 2, 6)[0])
    assert torch.equal(together.part(2, 3).normal(6), alone.normal(6))


def test_distributions_have_their_moments() -> None:
    keys = ImageKeys(0, "fog", 1, range(50))
    normal, uniform, whole = keys.normal(2000), keys.uniform(2000), keys.integers(-2, 2, 2000)
    assert abs(float(normal.mean())) < 0.01
    assert abs(float(normal.std()) - 1.0) < 0.01
    assert abs(float(uniform.mean()) - 0.5) < 0.005
    assert sorted(set(whole.flatten().tolist())) == [-2, -1, 0, 1]
