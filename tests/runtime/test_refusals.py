"""What a live model refuses; the active variant stays as it was each time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from rwsstore.errors import (
    ConfigError,
    GoldenError,
    MismatchError,
    RwsError,
    TensorError,
    UnknownPatchError,
)
from rwsstore.models import weights_fingerprint
from rwsstore.patches import AlphaRange, Patch, Payload, compose
from rwsstore.patches.golden import Golden
from rwsstore.runtime import LiveModel, PatchBag
from tests.runtime.making import MODELS, a_patch, bare_patch, pixels
from tests.training.tiny import TwoConvs, two_convs

MODEL = two_convs()
FOG, SNOW = a_patch(MODEL, "fog", seed=0), a_patch(MODEL, "snow", seed=1)


@contextmanager
def refused(live: LiveModel, error: type[RwsError], match: str) -> Iterator[None]:
    """The change inside raises, and what was active still is."""
    before = live.active
    weights = weights_fingerprint(before.state())
    with pytest.raises(error, match=match):
        yield
    assert live.active is before
    assert weights_fingerprint(live.active.state()) == weights
    assert live.verify().ok


def live_with(*patches: Patch, model: nn.Module = MODEL, allow_transfer: bool = False) -> LiveModel:
    bag = PatchBag([FOG, SNOW, *patches])
    live = LiveModel(model, bag, allow_transfer=allow_transfer)
    if model is MODEL:
        live.apply("snow", 0.5)
    return live


@pytest.mark.parametrize(
    "alpha",
    [float("nan"), float("inf"), -float("inf"), -0.1, 2.1, 1e30, True, False, "1", b"1", [1.0]],
    ids=repr,
)
def test_a_strength_that_is_no_number_in_range(alpha: float) -> None:
    live = live_with()
    for change in (live.apply, lambda name, a: live.set_patches({name: a})):
        with refused(live, ConfigError, "alpha of 'fog'"):
            change("fog", alpha)
    with refused(live, ConfigError, "alpha of 'fog'"), live.patched({"fog": alpha}):
        pass
    with refused(live, ConfigError, "alpha of 'fog'"):
        live.variant({"fog": alpha})


def test_a_strength_out_of_the_patchs_own_range() -> None:
    narrow = bare_patch(MODEL, "narrow", alpha=AlphaRange(minimum=0.5, maximum=1.5))
    live = live_with(narrow)
    with refused(live, ConfigError, r"0\.4.*0\.5 to 1\.5"):
        live.apply("narrow", 0.4)


def test_a_part_that_would_be_out_of_its_range() -> None:
    narrow = bare_patch(MODEL, "narrow", alpha=AlphaRange(maximum=1.0))
    pair = compose("pair", [(narrow, 1.0), (FOG, 0.5)])
    wide = Patch.build(pair.metadata.model_copy(update={"alpha": AlphaRange()}), {}, None)
    live = live_with(narrow, wide)
    with refused(live, ConfigError, "alpha of 'narrow'"):
        live.apply("pair", 1.5)


def test_a_patch_that_is_not_there() -> None:
    live = live_with()
    with refused(live, UnknownPatchError, "'frost'"):
        live.apply("frost")
    with refused(live, UnknownPatchError, "'frost'"):
        live.set_patches({"fog": 1.0, "frost": 1.0})


def test_taking_off_what_is_not_on() -> None:
    live = live_with()
    for name in ("fog", FOG.digest, "frost"):
        with refused(live, UnknownPatchError, "is not on; on are: snow"):
            live.remove(name)
    live.clear()
    with refused(live, UnknownPatchError, "on are: none"):
        live.remove("snow")


def test_a_part_that_is_not_there() -> None:
    live = LiveModel(MODEL, PatchBag([compose("pair", [(FOG, 1.0)])]))
    with refused(live, UnknownPatchError, FOG.digest):
        live.apply("pair")


def test_a_patch_twice_by_name_and_digest() -> None:
    live = live_with()
    with refused(live, ConfigError, "twice"):
        live.set_patches({"fog": 0.5, FOG.digest: 0.5})


def test_a_patch_twice_through_a_composed_one() -> None:
    live = live_with(compose("pair", [(FOG, 0.5), (SNOW, 0.5)]))
    with refused(live, ConfigError, "twice"):
        live.apply("pair")
    with refused(live, ConfigError, "twice"):
        live.variant({"pair": 1.0, "fog": 0.0})


def test_a_composed_patch_as_a_part() -> None:
    inner = compose("inner", [(FOG, 0.5)])
    outer = compose("outer", [(SNOW, 0.5)])
    parts = (outer.metadata.parts[0].model_copy(update={"digest": inner.digest}),)
    hostile = Patch.build(outer.metadata.model_copy(update={"parts": parts}), {}, None)
    live = live_with(inner, hostile)
    with refused(live, MismatchError, "'inner' is composed"):
        live.apply("outer")


def test_another_architecture_is_named() -> None:
    wider = TwoConvs()
    wider.fc = nn.Linear(8, 4)
    live = live_with(bare_patch(wider, "wide"))
    with refused(live, MismatchError, r"'wide'.*fc\.bias"):
        live.apply("wide")


def test_other_clean_weights() -> None:
    other = bare_patch(two_convs(seed=5), "other")
    live = live_with(other)
    with refused(live, MismatchError, "transfer must be asked for"):
        live.apply("other")


def test_a_transferred_patch_is_reported_and_its_golden_logits_are_not_checked() -> None:
    other = a_patch(two_convs(seed=5), "other")
    live = live_with(other, allow_transfer=True)
    live.apply("other", 0.5)
    assert live.active.transferred == (other.digest,)
    assert live.remove("other").transferred == ()


def test_an_architecture_does_not_transfer() -> None:
    wider = TwoConvs()
    wider.fc = nn.Linear(8, 4)
    live = live_with(bare_patch(wider, "wide"), allow_transfer=True)
    with refused(live, MismatchError, "another architecture"):
        live.apply("wide")


def altered(patch: Patch, tensors: Mapping[str, Payload], golden: Golden | None) -> Patch:
    return Patch.build(patch.metadata, {**patch.tensors, **tensors}, golden)


def test_a_patch_whose_numbers_are_not_those_that_were_measured() -> None:
    stranger = bare_patch(MODEL, seed=7)
    wrong = altered(FOG, stranger.tensors, FOG.golden)
    live = live_with(wrong)
    with refused(live, GoldenError, r"'fog'.*patched model's logits"):
        live.apply("fog")


def test_golden_logits_of_another_clean_model() -> None:
    assert FOG.golden is not None
    golden = Golden(FOG.golden.clean + 0.5, FOG.golden.patched)
    live = live_with(altered(FOG, {}, golden))
    with refused(live, GoldenError, "clean model's logits"):
        live.apply("fog", 0.1)


def test_a_patch_that_does_nothing() -> None:
    idle = a_patch(MODEL, "idle", scale=0.0)
    live = live_with(idle)
    with refused(live, GoldenError, "'idle'.*does nothing"):
        live.apply("idle")


def test_golden_logits_are_checked_in_a_part_of_a_composed_patch() -> None:
    idle = a_patch(MODEL, "idle", scale=0.0)
    live = live_with(idle, compose("pair", [(idle, 0.5), (FOG, 0.5)]))
    with refused(live, GoldenError, "'idle'"):
        live.apply("pair")


class FixedSize(nn.Module):
    """Takes images of one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.fc = nn.Linear(2 * 16 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x.float() / 255).flatten(1))
        return logits


def test_a_probe_batch_that_the_network_cannot_take() -> None:
    model = FixedSize()
    patch = a_patch(model)
    assert patch.metadata.golden is not None
    probe = patch.metadata.golden.model_copy(update={"size": 8})
    wrong = Patch.build(
        patch.metadata.model_copy(update={"golden": probe}), patch.tensors, patch.golden
    )
    with pytest.raises(GoldenError, match="probe batch of 8x8"):
        LiveModel(model, PatchBag([wrong])).apply("fog")


def test_weights_that_overflow_at_a_strength_in_range() -> None:
    huge = bare_patch(MODEL, "huge", scale=1e38, names=["conv1.weight"])
    live = live_with(huge)
    with refused(live, TensorError, r"conv1\.weight.*not finite"):
        live.apply("huge", 2.0)
    assert live.apply("huge", 1e-30).patches == live.active.patches
    assert live.verify().ok


def test_running_statistics_are_never_patched() -> None:
    model = MODELS["resnet18 with BatchNorm"]()
    patch = bare_patch(model, names=["network.bn1.weight", "network.bn1.running_mean"])
    live = LiveModel(model, PatchBag([patch]))
    with refused(live, MismatchError, r"network\.bn1\.running_mean.*never patched"):
        live.apply("fog")


def test_models_that_are_not_finite_or_not_float32() -> None:
    model = two_convs()
    model.state_dict()["conv2.bias"][0] = float("nan")
    with pytest.raises(TensorError, match=r"conv2\.bias"):
        LiveModel(model)
    with pytest.raises(TensorError, match="float32"):
        LiveModel(two_convs().half())


def test_less_than_no_place_for_variants() -> None:
    with pytest.raises(ConfigError, match="resident_bytes is -1; expected 0 or more"):
        LiveModel(MODEL, resident_bytes=-1)


def test_a_refused_block_is_not_entered() -> None:
    live = live_with()
    logits = live(pixels())
    with pytest.raises(UnknownPatchError), live.patched({"frost": 1.0}):
        pytest.fail("entered")
    assert torch.equal(live(pixels()), logits)


def test_a_patch_without_golden_logits_that_changes_no_weight() -> None:
    idle = bare_patch(MODEL, "idle", scale=0.0)
    live = live_with(idle)
    with refused(live, GoldenError, "'idle' changes no weight"):
        live.apply("idle")
