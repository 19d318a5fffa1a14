import pytest
import torch

from rwsstore.errors import TensorError
from rwsstore.models import ModelSpec, architecture_fingerprint, build, weights_fingerprint
from rwsstore.patches import identify
from tests.patches.factory import make_test_patch


def test_a_real_model_is_identified() -> None:
    state = build(ModelSpec(network="vgg16", num_classes=3, width=0.125), seed=0).state_dict()
    identity = identify(state)
    assert identity.architecture == architecture_fingerprint(state)
    assert identity.clean_weights == weights_fingerprint(state)
    assert [entry.name for entry in identity.tensors] == sorted(state)
    for entry in identity.tensors:
        assert entry.shape == tuple(state[entry.name].shape)
        assert f"torch.{entry.dtype}" == str(state[entry.name].dtype)


def test_a_description_takes_what_was_identified() -> None:
    identity = identify({"b": torch.zeros(2, 3), "a": torch.zeros((), dtype=torch.int64)})
    metadata = make_test_patch().metadata.revised(
        model=identity.tensors, architecture=identity.architecture, tensors={"b": 8}
    )
    assert metadata.shapes() == {"b": (2, 3)}


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 513])
def test_names_that_patches_cannot_store_are_refused(name: str) -> None:
    with pytest.raises(TensorError, match="of the model: name: String should") as error:
        identify({name: torch.zeros(1)})
    assert len(str(error.value)) < 700
