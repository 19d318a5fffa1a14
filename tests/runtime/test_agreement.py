"""Agreement of compute formats with float32, counted by hand."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import DataError, MismatchError, UnknownPatchError
from rwsstore.models import FormatAgreement
from rwsstore.patches import Patch, identify, make_patch
from rwsstore.runtime import (
    FLOAT32,
    FORMATS,
    LiveModel,
    PatchBag,
    compute_format,
    measure_agreement,
)
from tests.runtime.making import MODELS, a_patch, pixels
from tests.training.tiny import classifier

IMAGES = pixels(230)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return MODELS["vgg16"]()


@pytest.fixture(scope="module")
def patches(model: nn.Module) -> tuple[Patch, ...]:
    return a_patch(model, "fog", scale=0.3, layers=2), a_patch(model, "snow", seed=1)


def by_name(found: tuple[FormatAgreement, ...]) -> Mapping[str, FormatAgreement]:
    return {one.name: one for one in found}


def logits(model: nn.Module, patches: PatchBag, name: str, wanted: dict[str, float]) -> Tensor:
    live = LiveModel(model, patches, compute=compute_format(name))
    return live.predict_mixed(IMAGES, [live.variant(wanted)] * len(IMAGES))


def test_it_counts_what_anyone_can_count(model: nn.Module, patches: tuple[Patch, ...]) -> None:
    bag = PatchBag(patches)
    sets: list[dict[str, float]] = [{}, {"fog": 1.0}, {"fog": 0.5, "snow": 0.5}]
    found = by_name(measure_agreement(model, IMAGES, patches=bag, requests=sets[1:]))["bf16"]
    shares, largest = [], []
    for wanted in sets:
        expected = logits(model, bag, "float32", wanted)
        got = logits(model, bag, "bf16", wanted)
        shares.append(100 * float((expected.argmax(1) == got.argmax(1)).double().mean()))
        largest.append(float((expected - got).abs().max()))
    assert found.images == 230
    assert found.patch_sets == 2
    assert found.top1_agreement == pytest.approx(shares[0], abs=0.5)  # other batches, other bits
    assert found.lowest_agreement == pytest.approx(min(shares), abs=0.5)
    names = ["", "fog=1.0", "fog=0.5,snow=0.5"]
    assert shares[names.index(found.lowest_with)] == pytest.approx(min(shares), abs=0.5)
    assert found.largest_difference == pytest.approx(max(largest), rel=0.2)
    assert 0 < max(largest) < 1


def test_every_format_in_order_and_float32_with_itself(model: nn.Module) -> None:
    found = measure_agreement(model, IMAGES[:20])
    assert [one.name for one in found] == list(FORMATS)
    assert found[0] == FormatAgreement(
        name="float32", images=20, top1_agreement=100.0, lowest_agreement=100.0,
        largest_difference=0.0,
    )  # fmt: skip
    for one in found[1:3]:  # float32, packed
        assert one.largest_difference is not None
        assert (one.lowest_agreement, one.largest_difference < 1e-4) == (100.0, True)
    assert measure_agreement(model, IMAGES[:20], [FLOAT32]) == found[:1]


class Coarse(nn.Module):
    """Says which of two numbers is larger, that bfloat16 cannot tell apart."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.fc = nn.Linear(3, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.fc.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
            self.fc.bias.copy_(torch.tensor([0.0, shift]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.conv(x.float() / 255).mean((2, 3)))
        return out


def test_one_that_disagrees_is_not_offered() -> None:
    bf16 = compute_format("bf16")
    assert not measure_agreement(Coarse(1e-5), IMAGES, [bf16])[0].offered
    assert measure_agreement(Coarse(1e-1), IMAGES, [bf16])[0].offered


def test_the_lowest_patch_set_decides() -> None:
    """Clean it is far from a tie; one of two patches brings it close to one."""
    model, bf16 = Coarse(0.1), compute_format("bf16")
    bag = PatchBag([shifting(model, "far", 0.1), shifting(model, "near", 1e-5 - 0.1)])
    far, near = {"far": None}, {"near": None}
    (found,) = measure_agreement(model, IMAGES, [bf16], patches=bag, requests=[far, near, far])
    assert (found.top1_agreement, found.patch_sets, found.lowest_with) == (100.0, 3, "near")
    assert not found.offered
    (found,) = measure_agreement(model, IMAGES, [bf16], patches=bag, requests=[far])
    assert (found.lowest_agreement, found.lowest_with) == (100.0, "")
    assert found.offered


def test_what_overflows_agrees_with_nothing() -> None:
    """3.4e38 is a float32, and infinity in bfloat16; the likeliest class would be the same."""
    model = Coarse(0.1)
    bag = PatchBag([shifting(model, "huge", 3.4e38)])
    bf16 = compute_format("bf16")
    (found,) = measure_agreement(model, IMAGES, [bf16], patches=bag, requests=[{"huge": None}])
    assert (found.top1_agreement, found.lowest_agreement) == (100.0, 0.0)
    assert (found.lowest_with, found.largest_difference) == ("huge", None)


def shifting(model: nn.Module, name: str, shift: float) -> Patch:
    """A patch that shifts the second logit."""
    return make_patch(
        kind="rws", name=name, model=identify(model.state_dict()), layers=(), bits=32,
        deltas={"fc.bias": torch.tensor([0.0, shift], dtype=torch.float64)},
    )  # fmt: skip


def test_a_format_that_the_model_cannot_be_computed_in_is_left_out() -> None:
    found = measure_agreement(MODELS["loose"](), IMAGES[:5])
    assert [one.name for one in found] == ["float32"]


def test_nothing_to_compare(model: nn.Module) -> None:
    with pytest.raises(DataError, match="no images"):
        measure_agreement(model, IMAGES[:0])


def test_patches_that_are_not_there_or_of_another_model(model: nn.Module) -> None:
    with pytest.raises(UnknownPatchError):
        measure_agreement(model, IMAGES[:2], requests=[{"fog": None}])
    alien = a_patch(classifier("resnet18", size=16, folded=True), "alien")
    with pytest.raises(MismatchError):
        measure_agreement(model, IMAGES[:2], patches=PatchBag([alien]), requests=[{"alien": None}])
