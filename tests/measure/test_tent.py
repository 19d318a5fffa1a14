"""TENT against a loop written out by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from rwsstore.errors import ConfigError, TensorError
from rwsstore.measure.accuracy import predictions
from rwsstore.measure.rival import Tent, TentOptions, shuffled, tent_accuracy, with_batch_statistics
from tests.measure.making import TEST
from tests.training.tiny import classifier, same, two_convs


def by_hand(model: nn.Module, batches: list[Tensor], optimizer: str, rate: float) -> list[Tensor]:
    """Predict each batch in training mode, then step BatchNorm's weights alone, as Adam or SGD."""
    model = copy.deepcopy(model).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    adapted = [tensor for norm in norms for tensor in (norm.weight, norm.bias)]
    first = [torch.zeros_like(tensor) for tensor in adapted]
    second = [torch.zeros_like(tensor) for tensor in adapted]
    answers = []
    for step, images in enumerate(batches, start=1):
        logits = model(images)
        answers.append(logits.detach())
        shares = torch.softmax(logits, dim=1)
        entropy = -(shares * torch.log(shares)).sum(dim=1).mean()
        gradients = torch.autograd.grad(entropy, adapted)
        with torch.no_grad():
            for weight, gradient, m, v in zip(adapted, gradients, first, second, strict=True):
                if optimizer == "sgd":
                    m.mul_(0.9).add_(gradient)
                    weight.sub_(rate * m)
                else:
                    m.mul_(0.9).add_(0.1 * gradient)
                    v.mul_(0.999).add_(0.001 * gradient**2)
                    rises = (m / (1 - 0.9**step), v / (1 - 0.999**step))
                    weight.sub_(rate * rises[0] / (rises[1].sqrt() + 1e-8))
    return answers


@pytest.mark.parametrize(
    ("network", "optimizer", "rate"),
    [("own", "adam", 0.05), ("own", "sgd", 0.5), ("vgg16", "adam", 1e-3), ("vgg16", "sgd", 1e-2)],
)
def test_it_is_the_loop_by_hand(network: str, optimizer: str, rate: float) -> None:
    model = two_convs(batch_norm=True) if network == "own" else classifier(network)
    batches = list(torch.split(TEST.images, 8))
    tent = Tent(model, TentOptions.model_validate({"optimizer": optimizer, "learning_rate": rate}))
    wanted = by_hand(model, batches, optimizer, rate)
    for images, answer in zip(batches, wanted, strict=True):
        assert torch.allclose(tent(images), answer, rtol=1e-3, atol=2e-4)


def test_the_first_batch_is_predicted_before_any_step() -> None:
    model = two_convs(batch_norm=True)
    with torch.no_grad():
        plain = with_batch_statistics(model)(TEST.images)
    tent = Tent(model, TentOptions(learning_rate=0.1))
    assert torch.equal(tent(TEST.images), plain)
    assert not torch.equal(tent(TEST.images), plain)


def test_steps_make_predictions_surer() -> None:
    def entropy(logits: Tensor) -> float:
        return float(F.cross_entropy(logits, logits.softmax(dim=1)))

    tent = Tent(two_convs(batch_norm=True), TentOptions(learning_rate=0.2))
    found = [entropy(tent(TEST.images)) for _ in range(12)]
    assert found[-1] < 0.9 * found[0]


def test_reset_forgets_weights_and_momentum() -> None:
    tent = Tent(two_convs(batch_norm=True), TentOptions(learning_rate=0.05))
    first = [tent(images) for images in torch.split(TEST.images, 8)]
    tent.reset()
    again = [tent(images) for images in torch.split(TEST.images, 8)]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_the_model_is_left_as_it_is() -> None:
    model = two_convs(batch_norm=True).train()
    before = copy.deepcopy(model)
    Tent(model, TentOptions(learning_rate=0.1))(TEST.images)
    assert same(model, before)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_accuracy_is_of_one_shuffled_stream_from_the_start() -> None:
    model = two_convs(batch_norm=True)
    options = TentOptions(learning_rate=0.05)
    images, labels = shuffled(TEST.images, TEST.labels)
    answers = torch.cat(
        [logits.argmax(1) for logits in map(Tent(model, options), torch.split(images, 8))]
    )
    wanted = 100 * float((answers == labels).double().mean())
    tent = Tent(model, options)
    tent(TEST.images[:9])  # an earlier stream
    assert tent_accuracy(tent, TEST.images, TEST.labels, 8) == pytest.approx(wanted)
    assert tent_accuracy(tent, TEST.images, TEST.labels, 8) == pytest.approx(wanted)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_it_adapts_where_the_caller_wants_no_gradients(mode: type) -> None:
    model, options = two_convs(batch_norm=True), TentOptions(learning_rate=0.1)
    plain = Tent(model, options)
    wanted = [plain(TEST.images) for _ in range(2)]
    tent = Tent(model, options)
    with mode():
        found = [tent(TEST.images) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert torch.equal(
        predictions(Tent(model, options), TEST.images, batch_size=30), wanted[0].argmax(1)
    )


def test_a_network_without_batchnorm_is_refused() -> None:
    for model in (two_convs(), classifier(folded=True)):
        with pytest.raises(ConfigError, match="unfolded checkpoint"):
            Tent(model)


def test_batchnorm_without_scales_and_shifts_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False))
    with pytest.raises(ConfigError, match="nothing to adapt"):
        Tent(model)


def test_an_entropy_that_is_no_number_is_refused_before_the_step() -> None:
    model = two_convs(batch_norm=True)
    with torch.no_grad():
        model.fc.bias[0] = torch.inf
    tent = Tent(model)
    for _ in range(2):
        with pytest.raises(TensorError, match=r"learning rate below 0\.001"):
            tent(TEST.images)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_learning_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValidationError):
        TentOptions(learning_rate=rate)
