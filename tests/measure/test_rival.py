"""BatchNorm re-estimated on the test stream."""

import copy

import pytest
import torch
from torch import Tensor, nn

from rwsstore.corruptions import corrupt
from rwsstore.errors import ConfigError, UnknownNameError
from rwsstore.measure import rival_accuracy, with_batch_statistics
from rwsstore.measure.rival import affine_parameters, mixed_stream
from tests.measure.making import TEST
from tests.training.tiny import classifier, same, two_convs


def in_training_mode(model: nn.Module) -> nn.Module:
    """The same network as torch computes it in training, where BatchNorm takes the batch's."""
    return copy.deepcopy(model).train()


@pytest.mark.parametrize("batch", [2, 8, 30])
@pytest.mark.parametrize("network", ["vgg16", "resnet18", "own"])
def test_it_computes_what_batchnorm_computes_in_training(network: str, batch: int) -> None:
    model = two_convs(batch_norm=True) if network == "own" else classifier(network)
    images = TEST.images[:batch]
    with torch.no_grad():
        assert torch.equal(with_batch_statistics(model)(images), in_training_mode(model)(images))


def test_one_image_is_enough_where_its_map_has_several_pixels() -> None:
    model = two_convs(batch_norm=True)
    with torch.no_grad():
        for image in TEST.images[:3, None]:
            assert torch.equal(with_batch_statistics(model)(image), in_training_mode(model)(image))


def test_one_value_a_channel_leaves_the_bias() -> None:
    model = classifier(size=16)  # its last maps are single pixels
    rival = with_batch_statistics(model)
    with torch.no_grad():
        one, other = rival(TEST.images[:1]), rival(TEST.images[1:2])
    assert one.isfinite().all()
    assert torch.equal(one, other)  # nothing of the image is left


class LateNorm(nn.Module):
    """BatchNorm on plain features, with or without affine terms."""

    def __init__(self, *, affine: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, affine=affine)
        if affine:
            with torch.no_grad():
                self.norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.norm(x.float().mean((2, 3)))
        return features


@pytest.mark.parametrize("affine", [True, False])
def test_features_without_a_map(affine: bool) -> None:
    rival = with_batch_statistics(LateNorm(affine=affine))
    with torch.no_grad():
        wanted = [[1.0, 2.0, 3.0]] if affine else [[0.0, 0.0, 0.0]]
        assert rival(TEST.images[:1]).tolist() == wanted
        images = TEST.images[:5]
        assert torch.equal(rival(images), in_training_mode(LateNorm(affine=affine))(images))


def test_a_norm_under_two_names_is_replaced_under_both() -> None:
    norm = nn.BatchNorm2d(3)
    model = nn.Sequential(norm, nn.ReLU(), norm).eval()
    images = TEST.images.float()
    with torch.no_grad():
        assert torch.equal(with_batch_statistics(model)(images), in_training_mode(model)(images))


def test_the_model_is_left_as_it_is() -> None:
    model = classifier().train()
    before = copy.deepcopy(model)
    rival = with_batch_statistics(model)
    rival_accuracy(rival, TEST.images, TEST.labels, 8)
    assert same(model, before)
    assert model.training
    assert not rival.training


def test_a_network_without_batchnorm_is_refused() -> None:
    for model in (two_convs(), classifier(folded=True)):
        with pytest.raises(ConfigError, match="unfolded checkpoint"):
            with_batch_statistics(model)


@pytest.mark.parametrize("batch", [1, 7, 8, 30, 200])
def test_accuracy_is_over_a_shuffled_stream_and_follows_from_nothing_else(batch: int) -> None:
    model = with_batch_statistics(two_convs(batch_norm=True))
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    right = 0
    for part in torch.split(order, batch):
        with torch.no_grad():
            right += int((model(TEST.images[part]).argmax(1) == TEST.labels[part]).sum())
    torch.manual_seed(batch)
    assert rival_accuracy(model, TEST.images, TEST.labels, batch) == pytest.approx(100 * right / 30)


MIXED = ("fog", "contrast", "gaussian_noise", "pixelate")


def test_a_mixed_stream_gives_each_image_one_corruption_evenly() -> None:
    stream = mixed_stream(TEST.images, MIXED, 5, seed=3)
    assert stream.corruptions == MIXED
    counts = torch.bincount(stream.which, minlength=4).tolist()
    assert sorted(counts) == [7, 7, 8, 8]
    assert stream.which.tolist() != sorted(stream.which.tolist())
    for place, name in enumerate(MIXED):
        whole = corrupt(TEST.images, name, 5, seed=3)
        chosen = stream.which == place
        assert torch.equal(stream.images[chosen], whole[chosen])


def test_a_mixed_stream_follows_from_its_seed() -> None:
    one, again = (mixed_stream(TEST.images, MIXED, 5, seed=3) for _ in range(2))
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.which, mixed_stream(TEST.images, MIXED, 5, seed=4).which)


def test_fewer_images_than_corruptions_will_do() -> None:
    stream = mixed_stream(TEST.images[:2], MIXED, 5, seed=0)
    assert sorted(stream.which.tolist()) == [0, 1]


def test_a_mixed_stream_of_nothing_twice_or_the_unknown_is_refused() -> None:
    for names in ((), ("fog", "fog")):
        with pytest.raises(ConfigError, match="none of them twice"):
            mixed_stream(TEST.images, names, 5, seed=0)
    with pytest.raises(UnknownNameError, match="smoke"):
        mixed_stream(TEST.images, ("fog", "smoke"), 5, seed=0)


def test_affine_parameters_are_batchnorms_own_each_once() -> None:
    norm = nn.BatchNorm2d(3)
    model = with_batch_statistics(nn.Sequential(nn.Conv2d(3, 3, 1), norm, nn.ReLU(), norm))
    assert len(affine_parameters(model)) == 2
    assert affine_parameters(with_batch_statistics(LateNorm(affine=False))) == []
