import pytest
import torch

from rwsstore.corruptions import Corrupt, Random, Transform
from tests.corruptions.pictures import smooth_pictures

BATCH = smooth_pictures(9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize(
    "transform", [Corrupt("fog", 2.5) >> Corrupt("snow", 1), Random(clean=0.3)]
)
def test_images_on_a_device_come_back_on_it_the_same(transform: Transform) -> None:
    made = transform(BATCH.cuda())
    assert made.is_cuda
    assert torch.equal(made.cpu(), transform(BATCH))
