import copy

import pytest
import torch
from torch import Tensor, nn

from rwsstore.cpu import ComputeMode
from rwsstore.data import ImageSet
from rwsstore.errors import ConfigError, TensorError
from rwsstore.measure import accuracy
from rwsstore.models import shallowest
from rwsstore.training import AugmentedRecipe, CleanRecipe, Recipe, RobustRecipe, derive_seed, fit
from tests.training.tiny import changed, classifier, config, pictures, same, two_convs

TRAIN, VALIDATION = pictures(48, seed=0), pictures(24, seed=1)


def train(
    model: nn.Module, recipe: Recipe | None = None, epochs: int = 1, **fields: object
) -> nn.Module:
    settings = config(epochs, **fields)
    return fit(model, recipe or CleanRecipe(), TRAIN, VALIDATION, settings).model


def test_it_learns() -> None:
    result = fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, config(10, learning_rate=0.1))
    assert result.history[-1].loss < 0.8 * result.history[0].loss
    assert result.best.accuracy > 90
    assert [record.epoch for record in result.history] == list(range(1, 11))
    found = accuracy(result.model, VALIDATION.images, VALIDATION.labels)
    assert found == result.best.accuracy


def test_the_model_given_is_left_as_it_is() -> None:
    model = classifier(folded=False).train()
    before = copy.deepcopy(model)
    trained = train(model)
    assert same(model, before)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not trained.training
    assert not any(parameter.requires_grad for parameter in trained.parameters())
    assert changed(trained, model)


def test_the_same_run_gives_the_same_weights_and_another_seed_others() -> None:
    one, again = train(two_convs()), train(two_convs())
    assert same(one, again)
    assert not same(one, train(two_convs(), seed=1))


@pytest.mark.parametrize("network", ["vgg16", "resnet18"])
def test_robust_training_of_shallow_layers_leaves_all_others_alone(network: str) -> None:
    model = classifier(network, folded=True)
    shallow = {name for layer in shallowest(model, 2) for name in layer.parameters}
    trained = train(model, RobustRecipe("contrast", layers=2))
    assert changed(trained, model) == shallow


def test_robust_training_in_full_changes_deep_layers() -> None:
    model = two_convs()
    trained = train(model, RobustRecipe("contrast", layers=None))
    assert changed(trained, model) == set(model.state_dict())


def test_every_step_has_a_number_and_a_seed_of_its_own() -> None:
    class Watched(CleanRecipe):
        def begin_step(self, model: nn.Module, step: int, seed: int) -> bool:
            found[step] = seed
            return super().begin_step(model, step, seed)

    found: dict[int, int] = {}
    train(two_convs(), Watched(), epochs=2)
    assert list(found) == list(range(8))
    assert len(set(found.values())) == 8


def test_what_does_not_train_has_no_gradients() -> None:
    class Watched(RobustRecipe):
        def loss(
            self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float
        ) -> Tensor:
            found.update(name for name, p in model.named_parameters() if p.requires_grad)
            return super().loss(model, images, labels, smoothing)

    found: set[str] = set()
    train(two_convs(), Watched("contrast", layers=1))
    assert found == {"conv1.weight", "conv1.bias"}


def test_robust_training_leaves_running_statistics_alone() -> None:
    model = two_convs(batch_norm=True)
    statistics = {name for name in model.state_dict() if "running" in name or "num_" in name}
    robust = changed(train(model, RobustRecipe("contrast", layers=None)), model)
    assert not robust & statistics
    assert {"conv1.weight", "norm1.weight", "norm1.bias", "fc.weight"} <= robust
    assert statistics <= changed(train(model, CleanRecipe()), model)


def test_the_best_epoch_is_chosen_on_what_the_recipe_shows_of_the_validation_images() -> None:
    recipe = RobustRecipe("contrast", layers=None)
    result = fit(two_convs(), recipe, TRAIN, VALIDATION, config(4, learning_rate=0.2))
    assert result.best.accuracy == max(record.accuracy for record in result.history)
    shown = recipe.show(VALIDATION.images, torch.arange(24), derive_seed(0, "validation"))
    assert accuracy(result.model, shown, VALIDATION.labels) == result.best.accuracy


def test_the_earliest_of_equal_epochs_is_kept() -> None:
    one_class = ImageSet(VALIDATION.images[:1], VALIDATION.labels[:1], VALIDATION.classes, "one")
    settings = config(6, learning_rate=1e-4)
    result = fit(two_convs(), CleanRecipe(), TRAIN, one_class, settings)
    assert len({record.accuracy for record in result.history}) == 1
    assert result.best.epoch == 1
    early = fit(two_convs(), CleanRecipe(), TRAIN, one_class, settings, stop_after=1)
    assert same(result.model, early.model)


def test_stopping_early_is_the_beginning_of_the_whole_run() -> None:
    whole = fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, config(4))
    early = fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, config(4), stop_after=2)
    assert early.history == whole.history[:2]
    assert early.best == whole.history[1]
    late = fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, config(4), stop_after=9)
    assert late.history == whole.history


@pytest.mark.parametrize("epochs", [0, -1])
def test_stopping_before_the_first_epoch_is_refused(epochs: int) -> None:
    with pytest.raises(ConfigError, match="stop_after"):
        fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, config(), stop_after=epochs)


def test_a_loss_that_diverges_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(TensorError, match=r"the loss became .* Try a learning rate below 1e\+20"):
        train(two_convs(), learning_rate=1e20, epochs=3)


class Nothing(CleanRecipe):
    name = "nothing"

    def trainable(self, model: nn.Module) -> frozenset[str]:
        return frozenset({"no such parameter"})


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="'nothing' trains no parameter"):
        train(two_convs(), Nothing())


def test_a_batch_of_one_value_a_channel_is_refused_before_torch_does() -> None:
    model = classifier(size=8)  # its last maps are single pixels
    with pytest.raises(ConfigError, match="another batch size than 47"):
        train(model, batch_size=47)
    train(model, batch_size=24)


def test_weight_decay_is_for_matrices_alone() -> None:
    class Still(CleanRecipe):
        """A loss that depends on the weights but has no gradient."""

        def loss(
            self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float
        ) -> Tensor:
            return super().loss(model, images, labels, smoothing) * 0.0

    model = two_convs()
    trained = train(model, Still(), weight_decay=0.5)
    assert changed(trained, model) == {"conv1.weight", "conv2.weight", "fc.weight"}
    state = trained.state_dict()
    assert all(state[n].norm() < t.norm() for n, t in model.state_dict().items() if t.dim() > 1)


def test_gradients_are_clipped() -> None:
    model = two_convs()
    trained = train(
        model, learning_rate=1.0, clip_norm=1e-3, momentum=0, warmup=0, weight_decay=0,
        batch_size=48,
    )  # fmt: skip
    steps = [(t - model.state_dict()[n]).square().sum() for n, t in trained.state_dict().items()]
    assert float(torch.stack(steps).sum().sqrt()) == pytest.approx(1e-3, rel=1e-3)


def test_crops_and_flips_can_be_left_out() -> None:
    shown: list[Tensor] = []

    class Watched(CleanRecipe):
        def loss(
            self, model: nn.Module, images: Tensor, labels: Tensor, smoothing: float
        ) -> Tensor:
            shown.extend(images)
            return super().loss(model, images, labels, smoothing)

    def seen() -> set[bytes]:
        found = {image.numpy().tobytes() for image in shown}
        shown.clear()
        return found

    plain = {image.numpy().tobytes() for image in TRAIN.images}
    train(two_convs(), Watched(), padding=0, flip=False)
    assert seen() == plain
    train(two_convs(), Watched(), padding=0, flip=True)
    assert plain & seen() != plain
    train(two_convs(), Watched(), padding=2, flip=False)
    assert plain & seen() != plain


class Dropping(nn.Module):
    """A network with dropout, which draws from torch's global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.body = two_convs()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.drop(self.body(x)))
        return logits


def test_dropout_follows_from_the_seed_and_leaves_the_global_generator_alone() -> None:
    model = Dropping()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = train(model)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(one, train(model))


def test_augmented_training_runs() -> None:
    result = fit(two_convs(), AugmentedRecipe(("fog", "contrast")), TRAIN, VALIDATION, config(2))
    assert len(result.history) == 2


def test_channels_last_changes_rounding_only() -> None:
    plain = train(two_convs())
    settings = config(1)
    mode = ComputeMode(channels_last=True)
    other = fit(two_convs(), CleanRecipe(), TRAIN, VALIDATION, settings, mode=mode).model
    for name, tensor in other.state_dict().items():
        assert tensor.is_contiguous()
        assert torch.allclose(tensor, plain.state_dict()[name], atol=1e-4)
