import pytest
import safetensors.torch
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from rwsstore.errors import FormatError
from rwsstore.files import load_tensors, read_header

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
shapes = st.lists(st.integers(0, 4), max_size=4)


def tensor(dtype: torch.dtype, shape: list[int], seed: int) -> Tensor:
    values = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype)


tensors = st.builds(tensor, st.sampled_from(DTYPES), shapes, st.integers(0, 99))
names = text.filter(lambda name: name != "__metadata__")


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(names, tensors, max_size=6), st.dictionaries(text, text, max_size=3))
def test_what_the_library_writes_is_read_back(
    written: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    data = safetensors.torch.save(written, metadata or None)
    read, header = load_tensors(data, what="patch")
    assert dict(header.metadata) == metadata
    assert read.keys() == written.keys() == header.tensors.keys()
    for name, value in written.items():
        assert read[name].dtype == value.dtype
        assert header.tensors[name].shape == tuple(value.shape)
        assert torch.equal(read[name], value)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_in_the_header_is_refused_or_still_consistent(draw: st.DataObject) -> None:
    data = bytearray(safetensors.torch.save({"a": torch.ones(2), "b": torch.zeros(3)}))
    at = draw.draw(st.integers(0, len(data) - 21))
    data[at] = draw.draw(st.integers(0, 255))
    try:
        header = read_header(bytes(data), what="patch")
    except FormatError:
        return
    read, _ = load_tensors(bytes(data), what="patch")
    assert {name: tuple(value.shape) for name, value in read.items()} == {
        name: entry.shape for name, entry in header.tensors.items()
    }


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        load_tensors(data, what="patch")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.complex64, torch.uint16])
def test_dtypes_that_the_library_writes_and_we_do_not_read(dtype: torch.dtype) -> None:
    data = safetensors.torch.save({"a": torch.ones(2).to(dtype)})
    with pytest.raises(FormatError, match="has dtype"):
        load_tensors(data, what="patch")


def test_tensors_own_their_memory() -> None:
    data = bytes(safetensors.torch.save({"a": torch.ones(2), "b": torch.ones(2)}))
    first, _ = load_tensors(data, what="patch")
    first["a"].zero_()
    second, _ = load_tensors(data, what="patch")
    assert torch.equal(second["a"], torch.ones(2))
    assert torch.equal(first["b"], torch.ones(2))
