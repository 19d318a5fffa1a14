"""Running only what depends on a change gives what running everything gives."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from rwsstore.probes.bitflips import StoredPatch, StoredWeights
from rwsstore.probes.bitflips.memory import Damage, StoredArray, changed
from rwsstore.probes.bitflips.rerun import Replay
from tests.probes.bitflips.making import NETWORKS, images, vgg
from tests.runtime.making import bare_patch
from tests.training.tiny import two_convs

VALUES = (0.0, -3.0, 1e4, torch.nan, 3e38, -1e4, torch.inf, -3e38, -torch.inf)
"""What a weight may become."""

WHOLE = {"branching", "smearing"}
"""Networks that are run whole."""


def batch(model: nn.Module) -> Tensor:
    return images(model).images.float() / 255


def alike(found: Tensor, expected: Tensor) -> bool:
    """Finite for the same images, and equal there to a part in 10,000 of the largest logit."""
    finite = torch.isfinite(expected).all(1)
    if not torch.equal(torch.isfinite(found).all(1), finite):
        return False
    scale = expected[finite].abs().amax(1, keepdim=True)
    return bool(((found[finite] - expected[finite]).abs() <= 1e-4 * scale).all())


def changes(row: StoredArray, values: Sequence[float]) -> Iterator[Damage]:
    for value in values:
        index = VALUES.index(value) * (row.count - 1) // (len(VALUES) - 1)
        yield Damage(row.parameter, index, torch.tensor([value]))


@contextmanager
def calls(model: nn.Module) -> Iterator[Counter[str]]:
    """Count how often each module is called."""
    counted: Counter[str] = Counter()
    hooks = [
        module.register_forward_pre_hook(lambda _, __, name=name: counted.update([name]))
        for name, module in model.named_modules()
    ]
    yield counted
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_change_gives_the_logits_of_the_whole_model(name: str) -> None:
    memory = StoredWeights(NETWORKS[name]())
    shown = batch(memory.model)
    replay, few = Replay(memory.model), len(memory.arrays) > 20
    for number, row in list(enumerate(memory.arrays))[:: 3 if few else 1]:
        rerun = replay.on(row.parameter, shown)
        for change in changes(row, VALUES[number % 5 :: 5] if few else VALUES):
            with changed(memory.model, change):
                expected = memory.model(shown)
                assert alike(rerun(change), expected), change
                assert alike(rerun(change), expected), "a second time"


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_only_what_cannot_be_replayed_is_run_whole(name: str) -> None:
    memory = StoredWeights(NETWORKS[name]())
    shown = batch(memory.model)
    replay, wholes = Replay(memory.model), set()
    for array, row in list(enumerate(memory.arrays))[:24]:
        change = memory.change(array, 0, 3)
        rerun = replay.on(row.parameter, shown)
        with changed(memory.model, change), calls(memory.model) as counted:
            rerun(change)
        wholes.add(counted[""])
    assert wholes == ({1} if name in WHOLE else {0}) or (name == "smearing" and wholes == {0, 1})


@torch.no_grad()
def test_a_change_runs_only_what_comes_after_the_layers_that_it_reaches() -> None:
    memory = StoredWeights(vgg())
    change = memory.change(
        [row.name for row in memory.arrays].index("network.features.conv9.weight"), 5, 30
    )
    rerun = Replay(memory.model).on(change.parameter, batch(memory.model))
    with changed(memory.model, change), calls(memory.model) as counted:
        rerun(change)
    layers = {name.rpartition(".")[2] for name in counted if "conv" in name}
    assert layers == {"conv11", "conv12", "conv13"}  # of 9 and 10 no more than a channel


@torch.no_grad()
def test_a_shortcut_is_followed() -> None:
    memory = StoredWeights(NETWORKS["resnet18"]())
    names = [row.name for row in memory.arrays]
    change = memory.change(names.index("network.layer3.1.conv2.weight"), 5, 30)
    rerun = Replay(memory.model).on(change.parameter, batch(memory.model))
    with changed(memory.model, change), calls(memory.model) as counted:
        rerun(change)
    layers = {name for name in counted if "conv" in name or name.endswith("downsample.0")}
    assert layers == {
        *(f"network.layer4.{name}" for name in ("0.conv2", "1.conv1", "1.conv2")),
    }  # behind the block the channel goes into two layers, and only into them


@pytest.mark.parametrize(
    ("name", "parameter", "called"),
    [
        ("in place", "conv1.weight", {"fc"}),  # BatchNorm, a sum, an activation, then conv2
        ("in place", "down.bias", {"fc"}),  # the other side of the sum
        ("in place", "norm1.weight", {"conv2", "norm1", "fc"}),
        ("in place", "norm2.weight", {"conv2", "norm2", "fc"}),
        ("two convolutions with BatchNorm", "conv1.weight", {"norm2", "fc"}),
        ("dense", "second.weight", set()),
        ("odd layers", "groups.weight", {"turned", "doubled"}),
        ("hooked", "conv.weight", {"conv", "fc"}),
    ],
)
@torch.no_grad()
def test_channels_pass_what_does_not_mix_them(name: str, parameter: str, called: set[str]) -> None:
    memory = StoredWeights(NETWORKS[name]())
    change = memory.change([row.name for row in memory.arrays].index(parameter), 0, 30)
    rerun = Replay(memory.model).on(parameter, batch(memory.model))
    with changed(memory.model, change), calls(memory.model) as counted:
        rerun(change)
    module = memory.model.get_submodule
    few = {one for one in counted if not isinstance(module(one), nn.Identity)}
    assert few - {"relu"} == called - {"relu"}


@torch.no_grad()
def test_a_scale_of_a_patch_changes_a_whole_channel() -> None:
    model = vgg()
    memory = StoredPatch(model, bare_patch(model, layers=3, bits=4))
    shown = batch(model)
    replay = Replay(memory.model)
    for array, row in enumerate(memory.arrays):
        for bit in (row.form.bits - 1, row.form.bits - 2):
            change = memory.change(array, row.count - 1, bit)
            rerun = replay.on(change.parameter, shown)
            with changed(memory.model, change):
                assert alike(rerun(change), memory.model(shown))


@torch.no_grad()
def test_a_patch_may_be_on_running_statistics() -> None:
    model = two_convs(batch_norm=True)
    memory = StoredPatch(model, bare_patch(model, names=["norm1.running_mean"], scale=1.0))
    shown = batch(model)
    change = memory.change(0, 2, 30)
    rerun = Replay(memory.model).on(change.parameter, shown)
    clean = memory.model(shown)
    with changed(memory.model, change):
        found, expected = rerun(change), memory.model(shown)
    assert alike(found, expected)
    assert not alike(expected, clean)


@torch.no_grad()
def test_a_parameter_that_nothing_reads_changes_nothing() -> None:
    memory = StoredWeights(NETWORKS["dense"]())
    shown = batch(memory.model)
    change = Damage("unused.weight", 0, torch.tensor([torch.nan]))
    rerun = Replay(memory.model).on("unused.weight", shown)
    with changed(memory.model, change):
        assert torch.equal(rerun(change), memory.model(shown))


def test_parameters_of_one_layer_share_what_is_kept() -> None:
    replay = Replay(StoredWeights(vgg()).model)
    first, second = (f"network.features.conv{number}" for number in (1, 2))
    assert replay.place(f"{first}.weight") == replay.place(f"{first}.bias")
    assert replay.place(f"{first}.weight") != replay.place(f"{second}.weight")
    tied = Replay(StoredWeights(NETWORKS["tied"]()).model)
    assert len(tied.place("conv1.weight")) == 2
    assert Replay(StoredWeights(NETWORKS["branching"]()).model).place("fc.weight") == (-1,)
