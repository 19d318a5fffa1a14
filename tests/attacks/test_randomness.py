import torch

from rwsstore.attacks import Ball
from rwsstore.attacks.search import random_changes

SHAPE = torch.Size((3, 4, 4))


def changes(*indices: int, seed: int = 0, restart: int = 0) -> torch.Tensor:
    return random_changes(
        Ball(0.1), SHAPE, seed=seed, indices=torch.tensor(indices), restart=restart
    )


def test_an_image_gets_the_same_whatever_its_batch() -> None:
    together = changes(4, 9, 2)
    assert torch.equal(changes(9)[0], together[1])
    assert torch.equal(changes(2, 4), together[[2, 0]])


def test_every_part_of_the_key_counts() -> None:
    drawn = [
        changes(1),
        changes(2),
        changes(1, seed=1),
        changes(1, restart=1),
        changes(1, seed=-1),
        changes(1, seed=10**30),
    ]
    assert len({tuple(one.flatten().tolist()) for one in drawn}) == len(drawn)


EXPECTED = [0.0829232, -0.0919521, 0.0313432]


def test_the_numbers_are_those_of_every_release() -> None:
    found = changes(7, seed=3, restart=1).flatten()[:3]
    torch.testing.assert_close(found, torch.tensor(EXPECTED))
