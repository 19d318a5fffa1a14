"""What a description says of its model may be anything; what a patch touches is really there."""

from rwsstore.patches import reach_of
from rwsstore.patches.metadata import ModelTensor, PatchMetadata
from tests.patches.factory import make_model, make_test_patch


def metadata_with(*tensors: tuple[str, tuple[int, ...], str]) -> PatchMetadata:
    patch = make_test_patch().metadata
    entries = [(entry.name, entry.shape, entry.dtype) for entry in patch.model]
    model = make_model(*entries, *tensors)
    return patch.revised(model=model.tensors, architecture=model.architecture)


def test_buffers_count_as_part_of_the_model() -> None:
    plain, more = make_test_patch().metadata, metadata_with(("zz", (10,), "int64"))
    assert reach_of(more).model_bytes == reach_of(plain).model_bytes + 80
    assert reach_of(more).touched_bytes == reach_of(plain).touched_bytes == 448
    assert reach_of(more).model_weights == 2


def test_numbers_of_unknown_size_are_not_counted_and_huge_models_are_bounded() -> None:
    before = reach_of(make_test_patch().metadata).model_bytes
    assert (
        reach_of(metadata_with(("zz", (10,), "load"), ("zy", (3,), "float7"))).model_bytes == before
    )
    huge = metadata_with(("zz", (2**62, 2**62), "float32"))
    assert reach_of(huge).model_bytes == 2**63 - 1


def test_a_tensor_that_two_parts_touch_counts_once() -> None:
    part = make_test_patch().metadata
    assert reach_of(part, [part, part]) == reach_of(part)
    assert isinstance(part.model[0], ModelTensor)
