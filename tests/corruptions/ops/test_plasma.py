import numpy as np
import pytest
import torch

from rwsstore.corruptions.frost import map_side, plasma
from tests.corruptions.pictures import Floats


def plasma_point_by_point(chance: Floats, side: int, decay: float) -> Floats:
    """The diamond-square algorithm, written with loops."""
    field = np.zeros((side, side))
    numbers = iter((2 * chance - 1).tolist())
    step, reach = side, 1.0

    def fill(row: int, column: int, corners: list[tuple[int, int]]) -> None:
        around = [field[(row + r) % side, (column + c) % side] for r, c in corners]
        field[row, column] = sum(around) / 4 + reach * next(numbers)

    while step >= 2:
        half = step // 2
        square = [(-half, -half), (-half, half), (half, -half), (half, half)]
        diamond = [(-half, 0), (half, 0), (0, -half), (0, half)]
        for start_row, start_column, corners in (
            (half, half, square),
            (0, half, diamond),
            (half, 0, diamond),
        ):
            for row in range(start_row, side, step):
                for column in range(start_column, side, step):
                    fill(row, column, corners)
        step, reach = half, reach / decay**2
    return field


@pytest.mark.parametrize("side", [2, 8, 32])
def test_plasma_is_diamond_square(side: int) -> None:
    chance = np.random.default_rng(0).random((2, side * side - 1))
    maps = plasma(torch.from_numpy(chance).float(), side, 1.75)
    expected = np.stack([plasma_point_by_point(row, side, 1.75) for row in chance])
    np.testing.assert_allclose(maps.numpy(), expected, atol=1e-5)


def test_each_map_may_have_a_decay_of_its_own() -> None:
    chance = torch.rand(2, 63, generator=torch.Generator().manual_seed(0))
    maps = plasma(chance, 8, torch.tensor([1.0, 3.0], dtype=torch.float64))
    assert torch.equal(maps[0], plasma(chance[:1], 8, 1.0)[0])
    assert torch.equal(maps[1], plasma(chance[1:], 8, 3.0)[0])


@pytest.mark.parametrize(
    ("height", "width", "side"), [(1, 1, 2), (32, 32, 32), (33, 8, 64), (224, 224, 256)]
)
def test_the_map_covers_the_image(height: int, width: int, side: int) -> None:
    assert map_side(height, width) == side
