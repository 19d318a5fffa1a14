from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from rwsstore.data import ImageSet
from rwsstore.errors import (
    ConfigError,
    DataError,
    MismatchError,
    TensorError,
    UnknownNameError,
)
from rwsstore.patches import compose
from rwsstore.probes.bitflips import (
    FORMATS,
    Sites,
    StoredPatch,
    StoredWeights,
    flip,
    layer_sites,
    sample_sites,
    survey,
)
from rwsstore.probes.bitflips.memory import chosen_bits, from_bits, to_bits
from tests.probes.bitflips.making import images, sites, vgg
from tests.runtime.making import bare_patch
from tests.training.tiny import classifier, same, two_convs


@pytest.mark.parametrize("bit", [-1, 8, torch.tensor([0, 8])])
def test_positions_that_a_format_does_not_have(bit: int | torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="int8 has the bits 0 to 7"):
        flip(torch.zeros(2, dtype=torch.int8), bit, FORMATS["int8"])


def test_numbers_of_another_dtype() -> None:
    with pytest.raises(TensorError, match=r"float64; float32 is kept in torch\.float32"):
        to_bits(torch.zeros(1, dtype=torch.float64), FORMATS["float32"])


def test_codes_that_do_not_fit() -> None:
    with pytest.raises(TensorError, match="outside -8…7"):
        to_bits(torch.tensor([8], dtype=torch.int8), FORMATS["int4"])


@pytest.mark.parametrize("bits", [torch.tensor([16]), torch.tensor([-1])])
def test_bits_that_do_not_fit(bits: torch.Tensor) -> None:
    with pytest.raises(TensorError, match="what int4 holds"):
        from_bits(bits, FORMATS["int4"])
    with pytest.raises(TensorError, match="expected int64"):
        from_bits(bits.int(), FORMATS["int4"])


@pytest.mark.parametrize("choice", ["", "sign", "30,", "-1", "3-5", "1.5", "٣"])
def test_choices_of_bits_that_are_none(choice: str) -> None:
    with pytest.raises(UnknownNameError, match="choice of bits"):
        chosen_bits(choice, FORMATS["float32"])


def test_a_bit_named_twice() -> None:
    with pytest.raises(ConfigError, match="name one twice"):
        chosen_bits("3,4,3", FORMATS["float32"])


@pytest.mark.parametrize(
    "store", [StoredWeights, lambda model: StoredPatch(model, bare_patch(vgg()))]
)
def test_a_model_in_training_mode(store: Callable[[nn.Module], object]) -> None:
    model = vgg()
    model.get_submodule("network.features.conv3").train()
    with pytest.raises(ConfigError, match=r"conv3' is in training mode: call model\.eval"):
        store(model)
    assert same(model, vgg())


def test_formats_that_weights_are_not_stored_in() -> None:
    with pytest.raises(UnknownNameError, match="format of weights 'int8'"):
        StoredWeights(two_convs(), "int8")


def test_weights_that_are_not_float32() -> None:
    with pytest.raises(ConfigError, match=r"'conv1\.weight' are torch\.float64"):
        StoredWeights(two_convs().double())


def test_a_model_without_parameters() -> None:
    with pytest.raises(ConfigError, match="nothing to flip"):
        StoredWeights(nn.Identity().eval())


@pytest.mark.parametrize(("value", "form"), [(1e6, "float16"), (torch.nan, "float32")])
def test_weights_that_the_format_cannot_hold(value: float, form: str) -> None:
    model = two_convs()
    with torch.no_grad():
        model.conv2.weight[0, 0, 0, 0] = value
    with pytest.raises(TensorError, match=rf"'conv2\.weight' hold numbers .* as {form}"):
        StoredWeights(model, form)
    StoredWeights(two_convs(), form)


def test_patches_that_cannot_be_surveyed() -> None:
    model = vgg()
    patch = bare_patch(model)
    with pytest.raises(ConfigError, match="composed"):
        StoredPatch(model, compose("both", [(patch, 0.5)]))
    with pytest.raises(ConfigError, match="strength 0 does nothing"):
        StoredPatch(model, patch, 0.0)
    with pytest.raises(ConfigError, match="alpha"):
        StoredPatch(model, patch, 7.0)
    with pytest.raises(MismatchError, match="clean weights"):
        StoredPatch(model, bare_patch(classifier("vgg16", size=16, folded=True, seed=1)))
    with pytest.raises(MismatchError, match="another architecture"):
        StoredPatch(two_convs(), patch)


@pytest.mark.parametrize("count", [0, -1, 14])
def test_samples_of_none_or_of_more_than_there_are(count: int) -> None:
    memory = StoredWeights(nn.Conv2d(3, 1, 2).eval())
    with pytest.raises(ConfigError, match=f"a sample of {count} bits .* expected 1 to 13"):
        sample_sites(memory, count, bits="top")


def test_a_negative_seed() -> None:
    with pytest.raises(ConfigError, match="seed is -1"):
        sample_sites(StoredWeights(two_convs()), 1, seed=-1)


@pytest.mark.parametrize("bits", ["32", "5,32"])
def test_bits_that_no_number_has(bits: str) -> None:
    memory = StoredWeights(two_convs())
    with pytest.raises(ConfigError, match="the numbers here are float32, with up to 32 bits"):
        sample_sites(memory, 1, bits=bits)
    with pytest.raises(ConfigError, match="the numbers here are float32, with up to 32 bits"):
        layer_sites(memory, "fc", bits=bits)


def test_codes_have_no_exponent() -> None:
    memory = StoredPatch(vgg(), bare_patch(vgg(), names=["network.features.conv1.weight"]))
    codes = "network.features.conv1.weight.q"
    with pytest.raises(ConfigError, match="the numbers here are int8"):
        layer_sites(memory, codes, bits="exponent")


def test_an_unknown_layer() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown layer 'conv3'\. Did you mean 'conv"):
        layer_sites(StoredWeights(two_convs()), "conv3")


def test_no_sites() -> None:
    empty = torch.empty(0, dtype=torch.int64)
    with pytest.raises(TensorError, match="sites are not three columns"):
        Sites(empty, empty, empty)
    with pytest.raises(TensorError, match="sites are not three columns"):
        replace(sites((0, 0, 0)), bit=torch.zeros(1))


@pytest.mark.parametrize(
    "row", [(-1, 0, 0), (6, 0, 0), (0, -1, 0), (0, 162, 0), (1, 6, 0), (0, 0, -1), (0, 0, 32)]
)
def test_sites_of_another_memory(row: tuple[int, int, int]) -> None:
    model = two_convs()
    with pytest.raises(ConfigError, match=r"site 1 .* is not in this memory"):
        survey(StoredWeights(model), images(model), sites((0, 161, 31), row))


def test_labels_that_are_not_classes_of_the_model() -> None:
    model = two_convs()
    shown = images(model)
    more = ImageSet(shown.images, shown.labels + 1, ("a", "b", "c", "d"), "more")
    with pytest.raises(DataError, match="the model has 3 classes"):
        survey(StoredWeights(model), more, sites((0, 0, 0)))


def test_images_without_labels() -> None:
    model = two_convs()
    shown = images(model)
    object.__setattr__(shown, "labels", None)
    with pytest.raises(DataError, match="no labels"):
        survey(StoredWeights(model), shown, sites((0, 0, 0)))


def test_a_model_that_does_no_better_than_guessing() -> None:
    model = two_convs()
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    shown = images(model)
    even = ImageSet(shown.images, torch.arange(6) % 3, shown.classes, "even")
    with pytest.raises(ConfigError, match=r"2 of 6 images .* no more than guessing among 3"):
        survey(StoredWeights(model), even, sites((0, 0, 0)))


def test_a_model_whose_answers_are_not_finite() -> None:
    model = two_convs()
    shown = images(model)
    memory = StoredWeights(model)
    memory.model.get_parameter("fc.bias")[0] = torch.inf
    with pytest.raises(TensorError, match="NaN or infinite"):
        survey(memory, shown, sites((0, 0, 0)))


def test_a_batch_of_none() -> None:
    model = two_convs()
    with pytest.raises(ConfigError, match="batch size is 0"):
        survey(StoredWeights(model), images(model), sites((0, 0, 0)), batch_size=0)
