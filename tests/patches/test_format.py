import json
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore.canonical import canonical_json
from rwsstore.files import load_tensors
from rwsstore.patches import BIT_WIDTHS, GoldenProbe, Patch, QuantizedTensor, make_patch
from rwsstore.patches.format import read_patch_bytes, write_patch_bytes
from rwsstore.patches.golden import Golden
from rwsstore.patches.quantization import RawTensor
from tests.patches.factory import make_model, make_test_patch
from tests.patches.hostile import put_together, take_apart


def same(left: Patch, right: Patch) -> bool:
    """Whether two patches agree in everything, their bytes aside."""
    assert left.tensors.keys() == right.tensors.keys()
    for name, payload in left.tensors.items():
        other = right.tensors[name]
        assert payload.bits == other.bits
        if isinstance(payload, RawTensor):
            assert isinstance(other, RawTensor)
            assert torch.equal(payload.values, other.values)
        else:
            assert isinstance(other, QuantizedTensor)
            assert payload.codes.dtype == other.codes.dtype
            assert torch.equal(payload.codes, other.codes)
            assert torch.equal(payload.scale, other.scale)
    return left.metadata == right.metadata


def logits(seed: int) -> Tensor:
    return torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))


def with_golden(patch: Patch) -> Patch:
    probe = GoldenProbe(seed=1, count=3, size=8)
    return patch.with_evidence(card=None, golden=Golden(logits(0), logits(1)), probe=probe)


shapes = st.lists(st.lists(st.integers(1, 4), max_size=4).map(tuple), min_size=1, max_size=4)


@given(shapes, st.sampled_from(BIT_WIDTHS), st.integers(0, 2**32))
def test_round_trip(drawn: list[tuple[int, ...]], bits: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    named = {f"t{place}": shape for place, shape in enumerate(drawn)}
    model = make_model(*[(name, shape, "float32") for name, shape in named.items()])
    patch = make_patch(
        kind="clat",
        name="drawn",
        model=model,
        layers=(),
        deltas={name: torch.randn(shape, generator=generator) for name, shape in named.items()},
        bits=bits,
    )
    again = Patch.from_bytes(patch.to_bytes())
    assert same(patch, again)
    assert Patch.build(again.metadata, again.tensors, again.golden).to_bytes() == patch.to_bytes()


def test_golden_logits_round_trip() -> None:
    again = Patch.from_bytes(with_golden(make_test_patch()).to_bytes())
    assert again.golden is not None
    assert torch.equal(again.golden.clean, logits(0))
    assert torch.equal(again.golden.patched, logits(1))


def test_what_lies_in_the_file() -> None:
    data = with_golden(make_test_patch(bits=3)).to_bytes()
    tensors, header = load_tensors(data, what="patch")
    assert {name: (str(t.dtype), tuple(t.shape)) for name, t in tensors.items()} == {
        "network.conv1.weight.q": ("torch.uint8", (41,)),
        "network.conv1.weight.scale": ("torch.float32", (4,)),
        "network.conv1.bias.f32": ("torch.float32", (4,)),
        "golden.clean": ("torch.float32", (3, 5)),
        "golden.patched": ("torch.float32", (3, 5)),
    }
    assert list(header.metadata) == ["rwsstore"]
    text = header.metadata["rwsstore"]
    assert text == canonical_json(json.loads(text))
    assert text.isascii()


def test_other_memory_formats_give_the_same_bytes() -> None:
    patch = with_golden(make_test_patch())
    assert patch.golden is not None
    turned = {
        name: QuantizedTensor(
            payload.codes.contiguous(memory_format=torch.channels_last), payload.scale, 8
        )
        if isinstance(payload, QuantizedTensor)
        else payload
        for name, payload in patch.tensors.items()
    }
    golden = Golden(patch.golden.clean.T.contiguous().T, patch.golden.patched)
    assert write_patch_bytes(patch.metadata, turned, golden) == patch.to_bytes()


@given(st.randoms(use_true_random=False))
def test_the_order_of_tensors_and_keys_does_not_matter(random: Random) -> None:
    patch = with_golden(make_test_patch())
    names = list(patch.tensors)
    random.shuffle(names)
    fields = list(dict(patch.metadata).items())
    random.shuffle(fields)
    metadata = type(patch.metadata).make(**dict(fields))
    tensors = {name: patch.tensors[name] for name in names}
    assert Patch.build(metadata, tensors, patch.golden).digest == patch.digest


def test_reading_accepts_any_order_of_tensors() -> None:
    """Whatever a later safetensors writes first: a digest is of the file's bytes."""
    patch = make_test_patch()
    document, tensors = take_apart(patch)
    text, header, data = canonical_json(document), {}, b""
    for name in sorted(tensors, reverse=True):
        raw = tensors[name].numpy().tobytes()
        dtype = {torch.uint8: "U8", torch.float32: "F32"}[tensors[name].dtype]
        header[name] = {
            "dtype": dtype,
            "shape": list(tensors[name].shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps({**header, "__metadata__": {"rwsstore": text}}).encode()
    again = Patch.from_bytes(len(head).to_bytes(8, "little") + head + data)
    assert same(patch, again)
    assert again.digest != patch.digest


def test_taken_apart_and_put_together_it_is_the_same() -> None:
    patch = with_golden(make_test_patch())
    assert put_together(*take_apart(patch)) == patch.to_bytes()


def test_tensors_read_share_no_memory_with_each_other() -> None:
    patch = with_golden(make_test_patch(bits=8))
    _, tensors, _ = read_patch_bytes(patch.to_bytes())
    weight = tensors["network.conv1.weight"]
    assert isinstance(weight, QuantizedTensor)
    weight.codes.fill_(0)
    weight.scale.fill_(0)
    assert same(patch, Patch.from_bytes(patch.to_bytes()))


@pytest.mark.parametrize("bits", [8, 16])
def test_wide_codes_are_little_endian(bits: int) -> None:
    patch = make_test_patch(bits=bits)
    tensors, _ = load_tensors(patch.to_bytes(), what="patch")
    packed = tensors["network.conv1.weight.q"].numpy().view(f"<i{bits // 8}")
    weight = patch.tensors["network.conv1.weight"]
    assert isinstance(weight, QuantizedTensor)
    np.testing.assert_array_equal(packed, weight.codes.flatten().numpy())


def test_entry_names_never_collide() -> None:
    """Tensors named like each other's entries, or like the golden logits."""
    names = ["golden", "golden.clean", "golden.clean.f32", "w", "w.q", "w.scale"]
    model = make_model(*[(name, (2, 2), "float32") for name in names])
    deltas = {name: torch.full((2, 2), float(place)) for place, name in enumerate(names)}
    for bits in (32, 8):
        patch = make_patch(
            kind="rws", name="names", model=model, layers=(), deltas=deltas, bits=bits
        )
        again = with_golden(Patch.from_bytes(patch.to_bytes()))
        for name, delta in deltas.items():
            torch.testing.assert_close(again.tensors[name].delta(1.0), delta)
