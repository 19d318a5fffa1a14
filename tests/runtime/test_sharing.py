from collections.abc import Callable

import pytest
import torch
from torch import nn

from rwsstore.errors import TensorError
from rwsstore.runtime.variant import Sharing
from tests.runtime.making import MODELS, Loose, Tied, Twice, equal_bits, pixels, shallow_names

everyone = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


@everyone
def test_it_computes_with_the_new_tensor_and_shares_all_others(
    make: Callable[[], nn.Module],
) -> None:
    model = make()
    name = shallow_names(model, 1)[0]
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tied = {other for other, p in parameters.items() if p is parameters[name]}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    new = parameters[name].detach() + 0.1
    with torch.no_grad():
        clean = model(pixels())
        other = Sharing(model).with_tensors({name: new})
        written = make()
        written.state_dict()[name].copy_(new)
        assert equal_bits(other(pixels()), written(pixels()))
        assert equal_bits(model(pixels()), clean)
        assert not torch.equal(other(pixels()), clean)
    for key, tensor in other.state_dict().items():
        old = model.state_dict()[key]
        assert (tensor.data_ptr() == old.data_ptr()) == (key not in tied), key
        assert equal_bits(old, before[key])
    assert {other.state_dict()[key].data_ptr() for key in tied} == {new.data_ptr()}


@everyone
def test_nothing_to_replace_gives_the_same_numbers(make: Callable[[], nn.Module]) -> None:
    model = make()
    other = Sharing(model).with_tensors({})
    with torch.no_grad():
        assert equal_bits(other(pixels()), model(pixels()))


def test_the_new_module_has_no_gradients_and_the_same_mode() -> None:
    model = MODELS["vgg16"]()
    name = shallow_names(model, 1)[0]
    other = Sharing(model).with_tensors({name: model.state_dict()[name] * 2})
    assert not other.get_parameter(name).requires_grad
    assert not any(module.training for module in other.modules())
    assert type(other) is type(model)


def test_untouched_modules_are_the_same_objects() -> None:
    model = MODELS["vgg16"]()
    name = shallow_names(model, 1)[0]
    other = Sharing(model).with_tensors({name: model.state_dict()[name] * 2})
    assert other.get_submodule("network.classifier") is model.get_submodule("network.classifier")
    assert other.get_submodule("network.features") is not model.get_submodule("network.features")


def test_a_module_under_two_names_stays_one() -> None:
    other = Sharing(Twice()).with_tensors({"stem.bias": torch.zeros(3)})
    assert other.get_submodule("stem") is other.get_submodule("again")


def test_a_later_module_in_place_of_another_stays_in_one_of_the_two() -> None:
    model = MODELS["two convolutions"]()
    other = Sharing(model).with_tensors({"conv1.bias": torch.zeros(6)})
    model.fc = nn.Identity()
    assert isinstance(other.get_submodule("fc"), nn.Linear)


def test_what_is_reached_by_a_list_is_patched_in_the_middle_of_a_tree() -> None:
    model = nn.Sequential(nn.Identity(), Loose()).eval()
    other = Sharing(model).with_tensors({"1.conv2.bias": torch.full((3,), 5.0)})
    with torch.no_grad():
        assert not torch.equal(other(pixels()), model(pixels()))


def test_both_names_of_a_tied_tensor_may_be_given_if_they_agree() -> None:
    model = Tied().eval()
    new = torch.ones(3, 3, 3, 3)
    other = Sharing(model).with_tensors({"conv1.weight": new, "conv2.weight": new.clone()})
    state = other.state_dict()
    assert state["conv1.weight"].data_ptr() == state["conv2.weight"].data_ptr()


def test_two_names_of_a_tied_tensor_with_different_numbers_are_refused() -> None:
    new = torch.ones(3, 3, 3, 3)
    with pytest.raises(TensorError, match=r"'conv2\.weight' shares its numbers"):
        Sharing(Tied()).with_tensors({"conv1.weight": new, "conv2.weight": 2 * new})


def test_a_name_that_is_no_parameter_is_refused() -> None:
    with pytest.raises(KeyError):
        Sharing(Tied()).with_tensors({"conv9.weight": torch.ones(1)})
