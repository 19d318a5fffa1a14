"""Somebody else's client of the protocol, over a real socket."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

MODEL = "bundled"
SET = "fog=0.6,gaussian_blur=0.4"

Images = NDArray[np.uint8] | NDArray[np.float32]


@pytest.fixture
def client(service_url: str) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(urlsplit(service_url).netloc)
    yield client
    client.close()


@pytest.fixture
def images(client: InferenceServerClient) -> NDArray[np.uint8]:
    shape = client.get_model_metadata(MODEL)["inputs"][0]["shape"]
    return np.random.default_rng(5).integers(0, 256, (2, *shape[1:]), dtype=np.uint8)


def infer(
    client: InferenceServerClient,
    images: Images,
    *,
    binary_in: bool = True,
    binary_out: bool | None = None,
    **options: Any,
) -> InferResult:
    """Predict; without `binary_out` no outputs are named, and all come in binary."""
    datatype = "UINT8" if images.dtype == np.uint8 else "FP32"
    given = InferInput("images", images.shape, datatype)
    given.set_data_from_numpy(images, binary_data=binary_in)
    outputs = None
    if binary_out is not None:
        outputs = [InferRequestedOutput(name, binary_out) for name in ("labels", "logits")]
    return client.infer(MODEL, [given], outputs=outputs, **options)


def bits(result: InferResult) -> bytes:
    logits = result.as_numpy("logits")
    assert logits.dtype == np.float32
    return bytes(logits.tobytes())


def texts(result: InferResult) -> list[str]:
    return [
        label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("labels")
    ]


def test_it_is_ready_and_listed(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "rwsstore"
    (entry,) = client.get_model_repository_index()
    assert (entry["name"], entry["state"]) == (MODEL, "READY")


def test_it_describes_its_model(client: InferenceServerClient) -> None:
    metadata = client.get_model_metadata(MODEL)
    assert [given["name"] for given in metadata["inputs"]] == ["images"]
    assert [output["name"] for output in metadata["outputs"]] == ["logits", "labels"]
    assert metadata["versions"] == ["1"]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_json_and_binary_give_the_same_bits(
    client: InferenceServerClient,
    images: NDArray[np.uint8],
    binary_in: bool,
    binary_out: bool,
) -> None:
    options: dict[str, Any] = {"parameters": {"patchset": SET}, "request_id": "42"}
    expected = infer(client, images, **options)
    found = infer(client, images, binary_in=binary_in, binary_out=binary_out, **options)
    assert bits(found) == bits(expected)
    assert texts(found) == texts(expected)
    assert found.get_response()["id"] == "42"


def test_floats_give_what_their_bytes_give(
    client: InferenceServerClient, images: NDArray[np.uint8]
) -> None:
    floats = images.astype(np.float32) / np.float32(255)
    options: dict[str, Any] = {"parameters": {"patchset": "none"}}
    in_bytes, in_floats = infer(client, images, **options), infer(client, floats, **options)
    in_json = infer(client, floats, binary_in=False, binary_out=False, **options)
    assert bits(in_floats) == bits(in_json)
    np.testing.assert_allclose(
        in_floats.as_numpy("logits"), in_bytes.as_numpy("logits"), rtol=1e-4, atol=1e-4
    )


def test_the_patch_set_is_chosen_by_a_parameter(
    client: InferenceServerClient, images: NDArray[np.uint8]
) -> None:
    clean = infer(client, images, parameters={"patchset": "none"})
    patched = infer(client, images, parameters={"patchset": SET})
    assert clean.get_response()["parameters"]["patchset"] == "none"
    assert patched.get_response()["parameters"]["patchset"] == SET
    assert bits(clean) != bits(patched)
    digests = [one.get_response()["parameters"]["state_digest"] for one in (clean, patched)]
    assert digests[0] != digests[1]


def test_without_a_parameter_the_active_set_predicts(
    client: InferenceServerClient, images: NDArray[np.uint8]
) -> None:
    assert infer(client, images).get_response()["parameters"]["generation"] >= 1


def test_its_timeout_is_kept_to(client: InferenceServerClient, images: NDArray[np.uint8]) -> None:
    assert len(texts(infer(client, images, timeout=60_000_000))) == len(images)
    with pytest.raises(InferenceServerException, match="timeout in microseconds") as found:
        infer(client, images, timeout=1)
    assert found.value.status() == "504"


def test_errors_are_in_the_words_that_it_reads(
    client: InferenceServerClient, images: NDArray[np.uint8]
) -> None:
    with pytest.raises(InferenceServerException, match=r"expected \[n, 3, ") as found:
        infer(client, images[:, :, 1:])
    assert found.value.status() == "422"
    with pytest.raises(InferenceServerException, match="smog") as found:
        infer(client, images, parameters={"patchset": "smog=1"})
    assert found.value.status() == "404"
    with pytest.raises(InferenceServerException, match="version") as found:
        infer(client, images, model_version="2")
    assert found.value.status() == "404"
