"""What lies in memory, and what a flip makes of a model's weights."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rwsstore.models import ordered_layers
from rwsstore.patches import Patch, QuantizedTensor, patched_tensor
from rwsstore.patches.quantization import RawTensor
from rwsstore.probes.bitflips import Memory, StoredPatch, StoredWeights, flip
from rwsstore.probes.bitflips.memory import StoredArray, changed
from tests.probes.bitflips.making import Branching, seeded, vgg
from tests.runtime.making import bare_patch, equal_bits
from tests.training.tiny import changed as differing, classifier, same, two_convs


def test_float32_weights_are_as_they_are() -> None:
    model = two_convs()
    memory = StoredWeights(model)
    assert same(memory.model, model)
    assert memory.format == "float32"
    named = dict(model.named_parameters())
    assert [(row.name, row.count) for row in memory.arrays] == [
        (name, parameter.numel()) for name, parameter in named.items()
    ]


@pytest.mark.parametrize(("form", "dtype"), [("float16", np.float16), ("bfloat16", None)])
def test_narrow_formats_round_first(form: str, dtype: type[np.float16] | None) -> None:
    model = two_convs(batch_norm=True)
    memory = StoredWeights(model, form)
    buffers = dict(model.named_buffers())
    for name, tensor in memory.model.state_dict().items():
        clean = model.state_dict()[name]
        if name in buffers:
            assert torch.equal(tensor, clean)
        elif dtype is not None:
            assert np.array_equal(tensor.numpy(), clean.numpy().astype(dtype).astype(np.float32))
        else:
            assert torch.equal(tensor, clean.bfloat16().float())


def test_layers_are_those_of_the_model() -> None:
    model = classifier("resnet18", size=16)
    owner = {name: layer.name for layer in ordered_layers(model) for name in layer.parameters}
    assert {row.name: row.layer for row in StoredWeights(model).arrays} == owner


def test_where_nothing_can_be_traced_a_layer_is_a_module() -> None:
    memory = StoredWeights(seeded(Branching))
    assert [row.layer for row in memory.arrays] == ["conv", "conv", "fc", "fc"]


def test_a_flip_changes_one_weight_and_is_gone_again() -> None:
    model = two_convs()
    memory = StoredWeights(model)
    array = [row.name for row in memory.arrays].index("conv2.weight")
    change = memory.change(array, 17, 30)
    weight = float(model.conv2.weight.detach().flatten()[17])
    (word,) = struct.unpack("<I", struct.pack("<f", weight))
    (expected,) = struct.unpack("<f", struct.pack("<I", word ^ (1 << 30)))
    assert (change.parameter, change.start) == ("conv2.weight", 17)
    assert change.values.tolist() == [expected]
    with changed(memory.model, change):
        assert differing(memory.model, model) == {"conv2.weight"}
        found = memory.model.state_dict()["conv2.weight"] != model.conv2.weight
        assert found.flatten().nonzero().tolist() == [[17]]
        again = memory.change(array, 17, 30)  # still of the memory as it was
        assert torch.equal(again.values, change.values)
        assert float(memory.model.state_dict()["conv2.weight"].flatten()[17]) == expected
    assert same(memory.model, model)
    with pytest.raises(KeyError), changed(memory.model, change):
        raise KeyError
    assert same(memory.model, model)


@pytest.mark.parametrize(("form", "bit"), [("float16", 14), ("bfloat16", 0)])
def test_narrow_formats_flip_in_their_own_bits(form: str, bit: int) -> None:
    memory = StoredWeights(two_convs(), form)
    row = memory.arrays[0]
    stored = memory.model.state_dict()[row.name].flatten()[5:6].to(row.form.dtype)
    assert torch.equal(memory.change(0, 5, bit).values, flip(stored, bit, row.form).float())


def of_patch(
    clean: Mapping[str, Tensor], patch: Patch, row: StoredArray, index: int, bit: int
) -> Tensor:
    """The patched tensor with one stored bit flipped, by the patch's own arithmetic."""
    payload = patch.tensors[row.parameter]
    if isinstance(payload, RawTensor):
        values = payload.values.clone()
        values.view(-1)[index] = flip(values.view(-1)[index], bit, row.form)
        damaged: RawTensor | QuantizedTensor = RawTensor(values)
    elif row.name.endswith(".scale"):
        scale = payload.scale.clone()
        scale[index] = flip(scale[index], bit, row.form)
        damaged = replace(payload, scale=scale)
    else:
        codes = payload.codes.clone()
        codes.view(-1)[index] = flip(codes.view(-1)[index], bit, row.form)
        damaged = replace(payload, codes=codes)
    alpha = patch.metadata.alpha.recommended
    return patched_tensor(row.parameter, clean[row.parameter], [(damaged, alpha)])


@pytest.mark.parametrize("bits", [32, 16, 8, 4, 3, 2])
def test_a_flip_in_a_patch_is_the_patch_with_that_bit_flipped(bits: int) -> None:
    model = vgg()
    clean = model.state_dict()
    patch = bare_patch(model, bits=bits, layers=2)
    memory = StoredPatch(model, patch)
    kinds = {row.name.rpartition(".")[2] for row in memory.arrays}
    assert kinds == ({"f32"} if bits == 32 else {"q", "scale", "f32"})
    for array, row in enumerate(memory.arrays):
        for index in (0, row.count // 2, row.count - 1):
            for bit in {0, row.form.bits // 2, row.form.bits - 3, row.form.bits - 1} - {-1}:
                expected = of_patch(clean, patch, row, index, bit)
                with changed(memory.model, memory.change(array, index, bit)):
                    assert equal_bits(memory.model.get_parameter(row.parameter).data, expected)


def test_the_model_of_a_patch_is_the_patched_one() -> None:
    model = vgg()
    patch = bare_patch(model, layers=2)
    memory = StoredPatch(model, patch, 0.5)
    for name, clean in model.state_dict().items():
        payload = patch.tensors.get(name)
        parts = [] if payload is None else [(payload, 0.5)]
        assert equal_bits(memory.model.state_dict()[name], patched_tensor(name, clean, parts))
    assert memory.format == "patch fog, 8 bits, strength 0.5"


def test_a_flip_may_leave_the_numbers_that_a_patch_file_holds() -> None:
    model = vgg()
    memory = StoredPatch(model, bare_patch(model))
    (scale,) = [n for n, row in enumerate(memory.arrays) if row.name.endswith(".scale")]
    row = memory.model.state_dict()[memory.arrays[scale].parameter][0].numel()
    change = memory.change(scale, 1, 30)
    assert (change.start, len(change.values)) == (row, row)
    assert float(change.values.abs().max()) > 1e30


def test_a_transferred_patch_has_to_be_asked_for() -> None:
    patch = bare_patch(classifier("vgg16", size=16, folded=True, seed=1))
    assert StoredPatch(vgg(), patch, allow_transfer=True).arrays


@pytest.mark.parametrize(
    "store",
    [
        StoredWeights,
        lambda model: StoredWeights(model, "bfloat16"),
        lambda model: StoredPatch(model, bare_patch(model)),
    ],
)
def test_the_model_is_left_as_it_was(store: Callable[[nn.Module], Memory]) -> None:
    model, other = vgg(), vgg()
    first = next(model.parameters())
    first.grad = torch.ones_like(first)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    memory = store(model)
    with changed(memory.model, memory.change(0, 3, 1)):
        assert same(model, other)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(first.grad, torch.ones_like(first))
    assert model.state_dict()["network.features.conv2.weight"].is_contiguous(
        memory_format=torch.channels_last
    )
