"""Inside torchvision's v2 pipelines and torch's data loaders."""

import pickle
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rwsstore.corruptions import Corrupt, CorruptedDataset, Random, Transform, corrupt
from rwsstore.errors import TensorError
from rwsstore.models.vision_shim import import_torchvision
from tests.corruptions.pictures import smooth_pictures

BATCH = smooth_pictures(12)
NOISE = Corrupt("gaussian_noise", 4, seed=1)


class Pictures(Dataset[tuple[Tensor, int]]):
    """A tiny set that transforms its own images, as torchvision's do."""

    def __init__(self, transform: Transform | None = None) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return len(BATCH)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = BATCH[index]
        return (image if self.transform is None else self.transform(image)), index % 3


@pytest.fixture(scope="module")
def v2() -> Any:
    import_torchvision()
    from torchvision.transforms import v2

    return v2


@pytest.fixture(scope="module")
def tv_tensors(v2: Any) -> Any:
    from torchvision import tv_tensors

    return tv_tensors


def test_in_a_v2_pipeline(v2: Any, tv_tensors: Any) -> None:
    pipeline = v2.Compose(
        [v2.ToImage(), NOISE, Corrupt("fog", 2), v2.ToDtype(torch.float32, scale=True)]
    )
    picture = Image.fromarray(BATCH[0].permute(1, 2, 0).contiguous().numpy())
    image, label = pipeline(picture, 7)
    assert isinstance(image, tv_tensors.Image)
    assert label == 7
    # ToImage makes no copy of its own index: the content of what comes in decides.
    expected = Corrupt("fog", 2)(NOISE(BATCH[0]))
    assert torch.equal((image * 255).round().to(torch.uint8), expected)
    assert pickle.loads(pickle.dumps(pipeline))(picture, 7)[1] == 7


def test_what_is_no_image_is_handed_through(tv_tensors: Any) -> None:
    image = tv_tensors.Image(BATCH[0])
    boxes = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(32, 32))
    mask, extra = tv_tensors.Mask(torch.ones(1, 32, 32)), torch.ones(3, 32, 32)
    sample = {"x": [image], "boxes": boxes, "mask": mask, "extra": extra, "id": "a", "none": None}
    made = NOISE(sample)
    assert list(made) == list(sample)
    assert isinstance(made["x"][0], tv_tensors.Image)
    assert torch.equal(made["x"][0], NOISE(BATCH[0]))
    for name in ("boxes", "mask", "extra", "id", "none"):
        assert made[name] is sample[name]


def test_boxes_and_masks_alone_are_no_image(tv_tensors: Any) -> None:
    with pytest.raises(TensorError, match="holds no image but Mask"):
        NOISE(tv_tensors.Mask(torch.ones(1, 32, 32)))


def test_the_first_plain_tensor_is_the_image() -> None:
    labels = torch.arange(12)
    made, same = NOISE(BATCH, labels)
    assert torch.equal(made, NOISE(BATCH))
    assert same is labels


def test_a_video_is_a_batch_of_frames(tv_tensors: Any) -> None:
    made = NOISE(tv_tensors.Video(BATCH))
    assert isinstance(made, tv_tensors.Video)
    assert torch.equal(made.as_subclass(Tensor), NOISE(BATCH))


@pytest.mark.parametrize("transform", [NOISE, NOISE >> Corrupt("contrast", 2), Random("weather")])
def test_workers_make_the_same_images(transform: Transform) -> None:
    def loaded(dataset: Dataset[Any], workers: int) -> Tensor:
        return torch.cat([images for images, _ in DataLoader(dataset, 5, num_workers=workers)])

    for dataset in (Pictures(transform), CorruptedDataset(Pictures(), transform)):
        assert torch.equal(loaded(dataset, 2), loaded(dataset, 0))


def test_a_corrupted_data_set_is_the_corrupted_whole() -> None:
    dataset = CorruptedDataset(Pictures(), NOISE)
    expected = corrupt(BATCH, "gaussian_noise", 4, seed=1)
    assert len(dataset) == 12
    assert torch.equal(torch.stack([dataset[place][0] for place in range(12)]), expected)
    assert torch.equal(dataset[-1][0], expected[-1])
    assert [dataset[place][1] for place in range(4)] == [0, 1, 2, 0]
