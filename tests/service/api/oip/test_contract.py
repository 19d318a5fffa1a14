import pytest

from rwsstore_service.wire.problems import ProblemError
from tests.service.api.oip.fakes import CONTRACT, MAX_IMAGES, SIZE


def test_shapes_of_the_model_are_taken() -> None:
    assert CONTRACT.check_shape([1, 3, SIZE, SIZE]) == (1, 3, SIZE, SIZE)
    assert CONTRACT.check_shape([MAX_IMAGES, 3, SIZE, SIZE])[0] == MAX_IMAGES


@pytest.mark.parametrize(
    "shape",
    [
        [],
        [3, 2, 2],
        [0, 3, 2, 2],
        [-1, 3, 2, 2],
        [1, 1, 2, 2],
        [1, 3, 4, 4],
        [1, 3, 2, -2],
        [1, 2, 2, 3],
        [1, 3, 2, 2, 1],
        [1, 3, 2, 10**400],
    ],
)
def test_other_shapes_are_refused_with_the_expected_one(shape: list[int]) -> None:
    with pytest.raises(ProblemError, match=r"expected \[n, 3, 2, 2\], with n from 1 to 4") as found:
        CONTRACT.check_shape(shape)
    assert found.value.kind.name == "invalid-request"
    assert len(found.value.detail) < 300


@pytest.mark.parametrize("count", [MAX_IMAGES + 1, 2**63, 10**400])
def test_too_many_images_are_too_large(count: int) -> None:
    with pytest.raises(ProblemError, match="expected 1 to 4") as found:
        CONTRACT.check_shape([count, 3, SIZE, SIZE])
    assert found.value.kind.name == "too-large"


def test_bytes_are_counted_by_datatype() -> None:
    assert CONTRACT.byte_count((2, 3, SIZE, SIZE), "UINT8") == 24
    assert CONTRACT.byte_count((2, 3, SIZE, SIZE), "FP32") == 96


def test_metadata_says_what_goes_in_and_what_comes_out() -> None:
    metadata = CONTRACT.metadata()
    assert (metadata.name, metadata.versions, metadata.platform) == (
        "tiny",
        ["1"],
        "pytorch_rwsstore",
    )
    (images,) = metadata.inputs
    assert (images.name, images.datatype, images.shape) == ("images", "UINT8", [-1, 3, 2, 2])
    assert images.parameters is not None
    assert "FP32" in str(images.parameters["also"])
    described = [(output.name, output.datatype, output.shape) for output in metadata.outputs]
    assert described == [("logits", "FP32", [-1, 3]), ("labels", "BYTES", [-1])]
