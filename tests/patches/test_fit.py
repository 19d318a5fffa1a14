from collections.abc import Callable

import pytest

from rwsstore.errors import MismatchError
from rwsstore.patches import ModelIdentity, check_fit
from rwsstore.patches.metadata import ModelTensor
from tests.patches.factory import make_identity, make_model, make_test_patch

Tensors = list[ModelTensor]
PATCH = make_test_patch()


def other_model(change: Callable[[Tensors], object]) -> ModelIdentity:
    """The factory's model with its tensors changed in place."""
    tensors = list(make_identity().tensors)
    change(tensors)
    return make_model(*[(entry.name, entry.shape, entry.dtype) for entry in tensors])


def entry(name: str, *shape: int, dtype: str = "float32") -> ModelTensor:
    return ModelTensor(name=name, shape=shape, dtype=dtype)


def test_the_model_of_the_patch_fits() -> None:
    assert check_fit(PATCH, make_identity()) is False
    assert check_fit(PATCH, make_identity(), allow_transfer=True) is False


def test_other_clean_weights_are_refused_unless_asked_for() -> None:
    other = make_identity("other weights")
    with pytest.raises(
        MismatchError, match=r"'fog' was extracted from .*allow_transfer=True"
    ) as error:
        check_fit(PATCH, other)
    assert make_identity().clean_weights[:12] in str(error.value)
    assert other.clean_weights[:12] in str(error.value)
    assert check_fit(PATCH, other, allow_transfer=True) is True


# The factory's tensors by name: network.conv1.bias, .conv1.weight, .fc.bias, .fc.weight.
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            lambda tensors: tensors.__setitem__(1, entry("network.conv1.weight", 4, 3, 5, 5)),
            r"its model has 'network.conv1.weight' of .*3, 3\], this one .* of float32.*5, 5\]",
        ),
        (
            lambda tensors: tensors.__setitem__(
                3, entry("network.fc.weight", 5, 4, dtype="float16")
            ),
            r"its model has 'network.fc.weight' of float32\[5, 4\], this one .* of float16\[5, 4\]",
        ),
        (
            lambda tensors: tensors.__setitem__(1, entry("network.conv2.weight", 4, 3, 3, 3)),
            r"its model has 'network.conv1.weight' of .*, this one has no such tensor",
        ),
        (
            lambda tensors: tensors.pop(0),
            r"its model has 'network.conv1.bias' of .*, this one has no such tensor",
        ),
        (
            lambda tensors: tensors.pop(3),
            r"its model has 'network.fc.weight' of .*, this one has no such tensor",
        ),
        (
            lambda tensors: tensors.append(entry("a", 1)),
            r"this model has 'a' of float32\[1\], its model has no such tensor",
        ),
        (
            lambda tensors: tensors.append(entry("z")),
            r"this model has 'z' of float32\[\], its model has no such tensor",
        ),
        (
            lambda tensors: tensors.extend([entry("network.e", 2), entry("z", 1)]),
            r"this model has 'network.e' of float32\[2\], its model has no such tensor",
        ),
    ],
    ids=["reshaped", "retyped", "renamed", "first missing", "last missing", "extra first",
         "extra last", "extra in between"],
)  # fmt: skip
@pytest.mark.parametrize("allow_transfer", [False, True])
def test_another_architecture_is_refused_with_the_first_difference(
    change: Callable[[Tensors], object], difference: str, allow_transfer: bool
) -> None:
    with pytest.raises(MismatchError, match=f"'fog' is for another architecture: {difference}$"):
        check_fit(PATCH, other_model(change), allow_transfer=allow_transfer)


def test_an_identity_that_contradicts_itself_is_refused() -> None:
    identity = make_identity()
    lying = ModelIdentity("0" * 64, identity.clean_weights, identity.tensors)
    with pytest.raises(MismatchError, match="the fingerprints differ"):
        check_fit(PATCH, lying)
