import pytest
import torch

from rwsstore.errors import TensorError
from rwsstore.models import Normalize


def test_takes_the_mean_away_and_divides_by_the_deviation() -> None:
    images = torch.tensor([0.5, 0.25, 1.0]).view(1, 3, 1, 1)
    out = Normalize((0.5, 0.5, 0.5), (0.25, 0.5, 0.1))(images)
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, -0.5, 5.0]))


def test_bytes_and_floats_of_the_same_image_agree() -> None:
    normalize = Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    images = torch.arange(256, dtype=torch.uint8).repeat(3).view(3, 1, 16, 16).permute(1, 0, 2, 3)
    assert torch.equal(normalize(images), normalize(images / 255))
    assert normalize(images).dtype == torch.float32


def test_takes_other_floats_to_its_own_dtype() -> None:
    normalize = Normalize((0.0,) * 3, (1.0,) * 3)
    assert normalize(torch.ones(1, 3, 2, 2, dtype=torch.float64)).dtype == torch.float32
    assert normalize.double()(torch.ones(1, 3, 2, 2)).dtype == torch.float64


def test_mean_and_std_are_stored() -> None:
    assert set(Normalize((0.0,) * 3, (1.0,) * 3).state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 4, 4, dtype=torch.int64),
        torch.zeros(1, 3, 4, 4, dtype=torch.bool),
        torch.zeros(3, 4, 4),
        torch.zeros(2, 3, 4),
        torch.zeros(1, 1, 4, 4),
    ],
)
def test_refuses(images: torch.Tensor) -> None:
    with pytest.raises(TensorError, match="expected"):
        Normalize((0.0,) * 3, (1.0,) * 3)(images)
