"""Images on a CUDA device come back on it, the same to the bit as on the CPU."""

import pytest
import torch

from rwsstore.corruptions import CORRUPTIONS, Corrupt, Random, corrupt
from tests.corruptions.pictures import smooth_pictures

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

BATCH = smooth_pictures(5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", tuple(CORRUPTIONS))
def test_the_device_does_not_matter(name: str, dtype: torch.dtype) -> None:
    images = BATCH if dtype == torch.uint8 else BATCH.to(dtype) / 255
    made = corrupt(images.cuda(), name, 4, seed=0, indices=torch.arange(5).cuda())
    assert made.is_cuda
    assert torch.equal(made.cpu(), corrupt(images, name, 4, seed=0))


def test_transforms_work_there_too() -> None:
    transforms = (Corrupt("fog", 2.5) >> Corrupt("shot_noise", 1), Random(clean=0.3))
    for transform in transforms:
        assert torch.equal(transform(BATCH.cuda()).cpu(), transform(BATCH))
