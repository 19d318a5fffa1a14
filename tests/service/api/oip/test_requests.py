import json

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from rwsstore_service.api.oip.contract import Contract
from rwsstore_service.api.oip.messages import AskedOutput, read_index_request, read_request
from rwsstore_service.wire.problems import ProblemError
from tests.service.api.oip.fakes import CLASSES, CONTRACT, MAX_IMAGES, SIZE
from tests.service.api.oip.wire import binary_request, json_request


def random_images(count: int, seed: int, floating: bool) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 3, SIZE, SIZE)
    if floating:
        return torch.rand(shape, generator=generator)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


images = st.builds(random_images, st.integers(1, MAX_IMAGES), st.integers(0, 1_000), st.booleans())


@given(images)
def test_images_come_through_json_and_binary_alike(sent: Tensor) -> None:
    in_json = read_request(json_request(sent), None, CONTRACT).images
    in_binary = read_request(*binary_request(sent), CONTRACT).images
    for found in (in_json, in_binary):
        assert found.dtype == sent.dtype
        assert torch.equal(found, sent)


def test_what_is_left_out_has_its_default() -> None:
    asked = read_request(json_request(random_images(1, 0, False)), None, CONTRACT)
    assert (asked.id, asked.patchset, asked.timeout) == (None, "active", None)
    assert asked.outputs == (AskedOutput("logits", False), AskedOutput("labels", False))


def test_what_is_said_is_read() -> None:
    body = json_request(
        random_images(1, 0, False),
        id="é 1",
        parameters={"patchset": "fog=0.6", "binary_data_output": True},
        outputs=[
            {"name": "labels", "parameters": {"binary_data": False}},
            {"name": "logits"},
        ],
    )
    asked = read_request(body, None, CONTRACT)
    assert (asked.id, asked.patchset) == ("é 1", "fog=0.6")
    assert asked.outputs == (AskedOutput("labels", False), AskedOutput("logits", True))


@pytest.mark.parametrize(
    ("sent", "seconds"), [(0, None), (1, 1e-6), (250_000, 0.25), (3_600_000_000, 3600.0)]
)
def test_how_long_it_may_wait_is_in_microseconds(sent: int, seconds: float | None) -> None:
    body = json_request(random_images(1, 0, False), parameters={"timeout": sent})
    assert read_request(body, None, CONTRACT).timeout == seconds


def test_no_outputs_are_all_outputs() -> None:
    body = json_request(
        random_images(1, 0, False), outputs=[], parameters={"binary_data_output": True}
    )
    asked = read_request(body, None, CONTRACT)
    assert asked.outputs == (AskedOutput("logits", True), AskedOutput("labels", True))


def test_the_largest_request_in_indented_json_is_read() -> None:
    contract = Contract(model="large", size=64, classes=CLASSES, max_images=2)
    sent = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    body = json.dumps(json.loads(json_request(sent)), indent=4).encode()
    assert torch.equal(read_request(body, None, contract).images, sent)


def test_json_in_front_of_nothing_may_have_its_length() -> None:
    body = json_request(random_images(1, 0, False))
    assert read_request(body, str(len(body)), CONTRACT).images.shape[0] == 1


@given(st.binary(max_size=200), st.none() | st.integers(0, 300).map(str))
def test_any_bytes_are_a_problem_of_the_callers(body: bytes, length: str | None) -> None:
    with pytest.raises(ProblemError) as found:
        read_request(body, length, CONTRACT)
    assert 400 <= found.value.kind.status < 500


def test_the_index_is_asked_for_with_or_without_words() -> None:
    assert read_index_request(b"").ready is False
    assert read_index_request(b"{}").ready is False
    assert read_index_request(b'{"ready": true}').ready is True


@pytest.mark.parametrize("body", [b"[]", b'{"ready": 1}', b'{"ready": "true"}', b'{"name": "x"}'])
def test_other_words_are_refused(body: bytes) -> None:
    with pytest.raises(ProblemError) as found:
        read_index_request(body)
    assert found.value.kind.name == "invalid-request"
