"""Accuracy under attack against what can be told by hand."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rwsstore.attacks import Pgd
from rwsstore.attacks.search import AttackBatch
from rwsstore.files import Results
from rwsstore.measure import Resampling, bootstrap
from rwsstore.measure.adversarial import (
    WORST_CASE,
    AdversarialOptions,
    AdversarialReport,
    evaluate_attacks,
    parse_attacks,
)
from rwsstore.progress import Task
from tests.measure.adversarial.making import BRIGHT, Blunt, Darken, Fickle, Threshold, greys
from tests.training.tiny import classifier, pictures

OPTIONS = AdversarialOptions(epsilons=(4 / 255, 8 / 255, 12 / 255), resamples=0)
SIXTH = 100 / 6


def shares(report: AdversarialReport, model: str, attack: str) -> list[float]:
    """How many of six images stay right, by budget."""
    budgets = report.models[model].budgets
    found = [one.worst_case if attack == WORST_CASE else one.attacks[attack] for one in budgets]
    return [round(one.accuracy / SIXTH, 9) for one in found]


def test_accuracies_are_those_told_by_hand() -> None:
    report = evaluate_attacks({"m": Threshold(0.5)}, {"d": Darken(0.1)}, BRIGHT, OPTIONS)
    assert (report.dataset, report.images, report.norm) == ("greys", 6, "linf")
    assert report.models["m"].clean.accuracy == pytest.approx(5 * SIXTH)
    assert shares(report, "m", "d") == [4, 3, 2]
    assert [one.epsilon for one in report.models["m"].budgets] == list(OPTIONS.epsilons)
    assert report.attacks == {"d": {"kind": "darken", "norm": "linf"}}
    assert (report.transfer, report.masked) == ((), ())


def test_what_a_smaller_budget_fooled_counts_in_the_worst_case_of_a_larger_one() -> None:
    report = evaluate_attacks({"m": Threshold(0.5)}, {"f": Fickle(0.1)}, BRIGHT, OPTIONS)
    assert shares(report, "m", "f") == [4, 3, 5]
    assert shares(report, "m", WORST_CASE) == [4, 3, 3]


class Brighten(Darken):
    def _attack(self, batch: AttackBatch) -> Tensor:
        return (batch.images + self.epsilon).clamp(0, 1)


def test_the_worst_case_is_taken_image_by_image() -> None:
    images = greys([131, 131, 124, 124], [1, 1, 0, 0])

    attacks = {"darken": Darken(0.1), "brighten": Brighten(0.1)}
    report = evaluate_attacks({"m": Threshold(0.5)}, attacks, images, OPTIONS)
    budget = report.models["m"].budgets[0]
    assert {name: found.accuracy for name, found in budget.attacks.items()} == {
        "darken": 50.0,
        "brighten": 50.0,
    }
    assert budget.worst_case.accuracy == 0.0


def test_an_image_that_is_wrong_from_the_start_is_wrong_in_the_worst_case() -> None:
    class Repair(Darken):
        """Turns what is wrong right: only images that are right are to be left alone."""

        def perturb(
            self, model: nn.Module, images: Tensor, *args: object, **more: object
        ) -> Tensor:
            return (images + self.epsilon).clamp(0, 1)

    options = replace(OPTIONS, epsilons=(20 / 255,))
    report = evaluate_attacks({"m": Threshold(0.5)}, {"r": Repair(0.1)}, BRIGHT, options)
    assert shares(report, "m", "r") == [6]
    assert shares(report, "m", WORST_CASE) == [5]


def test_in_the_white_box_an_image_that_is_wrong_is_left_alone() -> None:
    options = replace(OPTIONS, epsilons=(20 / 255,))
    models = {"low": Threshold(0.5), "high": Threshold(0.53)}
    report = evaluate_attacks(models, {"b": Brighten(0.1)}, BRIGHT, options)
    assert (shares(report, "low", "b"), shares(report, "high", "b")) == ([5], [3])
    matrix = report.transfer[0].accuracies
    # Tried on the other model, all were brightened: 115 + 20 lies between the thresholds.
    assert matrix["high"]["low"].accuracy == pytest.approx(100)
    assert matrix["low"]["high"].accuracy == pytest.approx(5 * SIXTH)


def test_transfer_tries_each_models_perturbations_on_the_others() -> None:
    # At 0.53 (135.15) the images lie above by -4.15, -0.15, 3.85, 23.85, 119.85 and -20.15.
    models = {"low": Threshold(0.5), "high": Threshold(0.53)}
    report = evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, OPTIONS)
    assert shares(report, "high", "d") == [2, 2, 2]
    found = {(one.attack, one.epsilon): one.accuracies for one in report.transfer}
    assert len(found) == 2 * 3
    for attack in ("d", WORST_CASE):
        for epsilon, low in zip(OPTIONS.epsilons, (4, 3, 2), strict=True):
            matrix = found[attack, epsilon]
            assert matrix["low"]["low"].accuracy == pytest.approx(low * SIXTH)
            assert matrix["low"]["high"].accuracy == pytest.approx(2 * SIXTH)
            # What `high` gets wrong is darkened too, and so fools `low`.
            assert matrix["high"]["low"].accuracy == pytest.approx(low * SIXTH)
            assert matrix["high"]["high"].accuracy == pytest.approx(2 * SIXTH)


def test_gains_are_against_the_first_model_on_the_same_draws() -> None:
    options = AdversarialOptions(epsilons=(4 / 255, 8 / 255), resamples=100, seed=5)
    models = {"high": Threshold(0.53), "low": Threshold(0.5)}
    report = evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, options)
    right = {
        "high": torch.tensor([0, 0, 0, 1, 1, 0], dtype=torch.bool),
        "low": torch.tensor([0, 1, 1, 1, 1, 0], dtype=torch.bool),
    }
    figures = bootstrap(right, Resampling(100, 0.95, 5))
    found = report.models["low"].budgets[0].worst_case
    assert found.accuracy == pytest.approx(figures["low"].value)
    assert found.interval == figures["low"].interval
    assert found.gain == pytest.approx(2 * SIXTH)
    assert found.gain_interval == (figures["low"] - figures["high"]).interval
    first = report.models["high"]
    assert first.clean.gain is None
    assert first.budgets[0].worst_case.gain_interval is None
    assert report.models["low"].clean.gain == pytest.approx(2 * SIXTH)


def test_a_model_that_hides_its_weakness_is_named() -> None:
    models = {"blind": Threshold(0.5), "open": Threshold(0.51)}
    report = evaluate_attacks(models, {"b": Blunt(0.1)}, BRIGHT, OPTIONS)
    assert {(one.model, one.made_on) for one in report.masked} == {("blind", "open")}
    assert [one.epsilon for one in report.masked] == list(OPTIONS.epsilons)
    assert [round(one.points / SIXTH, 9) for one in report.masked] == [1, 2, 3]
    honest = evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, OPTIONS)
    assert honest.masked == ()
    # One image of six is within the interval.
    options = replace(OPTIONS, epsilons=(4 / 255,), resamples=100)
    assert evaluate_attacks(models, {"b": Blunt(0.1)}, BRIGHT, options).masked == ()


def test_batches_change_nothing_and_the_seed_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = classifier(size=8), pictures(12)
    seen: list[Tensor] = []
    perturb: Callable[..., Tensor] = Pgd.perturb

    def watched(self: Pgd, *args: object, **more: object) -> Tensor:
        seen.append(perturb(self, *args, **more))
        return seen[-1]

    monkeypatch.setattr(Pgd, "perturb", watched)

    def report(batch_size: int, seed: int) -> AdversarialReport:
        options = AdversarialOptions((0.02,), seed=seed, resamples=0, batch_size=batch_size)
        return evaluate_attacks({"m": model}, parse_attacks("pgd2", 0.1), images, options)

    whole = report(12, 0)
    parts = report(5, 0)
    assert [len(one) for one in seen] == [12, 5, 5, 2]
    torch.testing.assert_close(torch.cat(seen[1:]), seen[0], atol=1e-6, rtol=0)
    assert parts == whole
    report(12, 1)
    assert not torch.equal(seen[-1], seen[0])


def counting(monkeypatch: pytest.MonkeyPatch, *, until: int = 10**6) -> list[float]:
    """Count the perturbations that are made, and stop the run at one of them."""
    made: list[float] = []
    perturb: Callable[..., Tensor] = Darken.perturb

    def counted(self: Darken, *args: object, **more: object) -> Tensor:
        if len(made) == until:
            raise KeyboardInterrupt
        made.append(self.epsilon)
        return perturb(self, *args, **more)

    monkeypatch.setattr(Darken, "perturb", counted)
    return made


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"low": Threshold(0.5), "high": Threshold(0.53)}
    options = replace(OPTIONS, batch_size=4)
    whole = evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, options)

    def run() -> AdversarialReport:
        results = Results(tmp_path / "kept.json", {"run": 1})
        return evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, options, results=results)

    with monkeypatch.context() as patch:
        counting(patch, until=7)
        with pytest.raises(KeyboardInterrupt):
            run()
    made = counting(monkeypatch)
    assert run() == whole
    assert len(made) == 2 * 3 * 2 * 2 - 7
    assert run() == whole
    assert len(made) == 2 * 3 * 2 * 2 - 7


def test_the_bar_reaches_its_end() -> None:
    tasks: list[list[int]] = []

    class Counted:
        @contextmanager
        def task(self, description: str, *, total: int) -> Iterator[Task]:
            tasks.append([total, 0])
            yield self

        def advance(self, steps: int = 1, *, note: str = "") -> None:
            tasks[-1][1] += steps

    options = replace(OPTIONS, batch_size=4)
    for models in ({"m": Threshold(0.5)}, {"m": Threshold(0.5), "n": Threshold(0.6)}):
        evaluate_attacks(models, {"d": Darken(0.1)}, BRIGHT, options, progress=Counted())
    assert tasks == [[6, 6], [24, 24]]


@pytest.mark.parametrize("folded", [False, True])
def test_models_images_and_random_numbers_stay_as_they_were(folded: bool) -> None:
    models = {"one": classifier(size=8, folded=folded), "two": classifier(size=8, seed=1)}
    images = pictures(6)
    before = images.images.clone()
    states = [
        {name: value.clone() for name, value in model.state_dict().items()}
        for model in models.values()
    ]
    for parameter in models["one"].parameters():
        parameter.grad = torch.ones_like(parameter)
    frozen = next(models["two"].parameters()).requires_grad_(False)
    random = torch.random.get_rng_state()
    options = AdversarialOptions((0.03,), resamples=0)
    evaluate_attacks(models, parse_attacks("fgsm,pgd2x2,apgd5", 0.1), images, options)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert torch.equal(images.images, before)
    for model, state in zip(models.values(), states, strict=True):
        assert not any(module.training for module in model.modules())
        assert not any(module._forward_hooks for module in model.modules())
        for name, value in model.state_dict().items():
            assert torch.equal(value, state[name])
    assert all(
        bool((one.grad == 1).all()) for one in models["one"].parameters() if one.grad is not None
    )
    assert all(one.grad is not None and one.requires_grad for one in models["one"].parameters())
    assert all(one.grad is None for one in models["two"].parameters())
    assert [one is not frozen for one in models["two"].parameters()] == [
        one.requires_grad for one in models["two"].parameters()
    ]
