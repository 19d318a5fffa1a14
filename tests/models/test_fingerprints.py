import hashlib
import struct
import sys

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from torch import Tensor

from rwsstore.errors import TensorError
from rwsstore.models import architecture_fingerprint, weights_fingerprint

STATE = {
    "b": torch.tensor([[1.0, -2.5], [0.0, float("inf")]]),
    "a.count": torch.tensor(513),
    "ä": torch.zeros(0, 3, dtype=torch.uint8),
}
ARCHITECTURE = "636b183f0d7ba269f1d1a51aaf98d6e3f0986123c6bda4d6866fad89cc7d7b1b"
WEIGHTS = "d62695999f9fce653b5ae1c4acc6968ec7a0fc92216043bbf5924c895abc9159"


def test_golden() -> None:
    """These never change: patches in the field name models by them."""
    assert architecture_fingerprint(STATE) == ARCHITECTURE
    assert weights_fingerprint(STATE) == WEIGHTS


def test_the_bytes_are_those_that_are_documented() -> None:
    names = b'[["a.count",[],"int64"],["b",[2,2],"float32"],["\\u00e4",[0,3],"uint8"]]'
    assert hashlib.sha256(names).hexdigest() == ARCHITECTURE
    values = struct.pack("<q", 513) + struct.pack("<4f", 1.0, -2.5, 0.0, float("inf"))
    assert hashlib.sha256(names + values).hexdigest() == WEIGHTS


def test_memory_format_views_and_gradients_do_not_matter() -> None:
    plain = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    wide = torch.zeros(4, 6, 5, 5)
    wide[:, ::2] = plain
    expected = weights_fingerprint({"w": plain})
    assert weights_fingerprint({"w": plain.to(memory_format=torch.channels_last)}) == expected
    assert weights_fingerprint({"w": wide[:, ::2]}) == expected
    assert weights_fingerprint({"w": torch.nn.Parameter(plain)}) == expected
    strided = torch.arange(8.0)[::2]
    assert weights_fingerprint({"w": strided}) == weights_fingerprint({"w": strided.clone()})


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool]
)
def test_other_dtypes_have_fingerprints_of_their_own(dtype: torch.dtype) -> None:
    state, zeros = {"w": torch.zeros(2)}, {"w": torch.zeros(2, dtype=dtype)}
    assert architecture_fingerprint(zeros) != architecture_fingerprint(state)
    assert weights_fingerprint(zeros) != weights_fingerprint(state)


def test_a_big_endian_machine_would_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = torch.tensor([1, 2]).view(torch.uint8).view(2, 8).flip(1).reshape(-1)
    expected = weights_fingerprint({"n": torch.tensor([1, 2])})
    monkeypatch.setattr(sys, "byteorder", "big")
    assert weights_fingerprint({"n": swapped.view(torch.int64)}) == expected


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8),
    st.data(),
)
def test_any_changed_bit_changes_the_weights_alone(words: list[int], data: st.DataObject) -> None:
    bits = torch.tensor(words, dtype=torch.int32)
    changed = bits.clone()
    place = data.draw(st.integers(0, len(words) - 1))
    changed[place] ^= torch.tensor(1, dtype=torch.int32) << data.draw(st.integers(0, 31))
    before, after = ({"w": b.view(torch.float32)} for b in (bits, changed))
    assert weights_fingerprint(before) != weights_fingerprint(after)
    assert architecture_fingerprint(before) == architecture_fingerprint(after)


_states = st.dictionaries(
    st.text(max_size=6),
    st.tuples(
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from([torch.float32, torch.float16, torch.int32]),
    ),
    max_size=3,
)
_State = dict[str, tuple[list[int], torch.dtype]]


def _zeros(kinds: _State) -> dict[str, Tensor]:
    return {name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in kinds.items()}


@settings(max_examples=50, deadline=None)
@given(_states, _states)
def test_other_names_shapes_or_dtypes_change_both(first: _State, second: _State) -> None:
    assume(first != second)
    a, b = _zeros(first), _zeros(second)
    assert architecture_fingerprint(a) != architecture_fingerprint(b)
    assert weights_fingerprint(a) != weights_fingerprint(b)


@pytest.mark.parametrize("tensor", [torch.zeros(2).to_sparse(), torch.zeros(2, device="meta")])
def test_refuses_tensors_without_plain_values(tensor: Tensor) -> None:
    with pytest.raises(TensorError, match="w is no plain tensor"):
        weights_fingerprint({"w": tensor})
