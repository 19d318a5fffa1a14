"""The intervals of an evaluation, against draws made here from the predictions themselves."""

import sys
from statistics import fmean

import pytest
import torch
from torch import Tensor, nn

from rwsstore.corruptions import corrupt
from rwsstore.measure import EvaluationOptions, EvaluationReport, Interval, evaluate, predictions
from rwsstore.measure.report import Pair
from rwsstore.patches import Patch
from tests.measure.making import TEST, clean_model, patch_for
from tests.runtime.making import reference_state
from tests.training.tiny import two_convs

PATCHES = {name: patch_for(name, seed=n) for n, name in enumerate(("gaussian_noise", "fog"))}
OPTIONS = EvaluationOptions(severities=(3, 5), bits=(8, 3), seed=7, resamples=100)


def right(model: nn.Module, images: Tensor) -> Tensor:
    return (predictions(model, images) == TEST.labels).double()


def patched(patch: Patch) -> nn.Module:
    model = two_convs()
    model.load_state_dict(reference_state(clean_model(), [(patch, 1.0)]))
    return model.eval()


def chosen(resamples: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(len(TEST), (len(TEST),), generator=generator) for _ in range(resamples)]
    return torch.stack(rows)


def ends(draws: Tensor) -> Interval:
    low, high = torch.quantile(draws, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(low=low, high=high)


def same(found: Interval | None, draws: Tensor) -> bool:
    assert found is not None
    wanted = ends(draws)
    close = pytest.approx((wanted.low, wanted.high), abs=1e-9)
    return bool((found.low, found.high) == close)


def test_every_interval_is_that_of_draws_by_hand() -> None:
    report = evaluate(clean_model(), PATCHES, TEST, OPTIONS)
    draws = chosen(100, 7)

    def drawn(model: nn.Module, images: Tensor) -> Tensor:
        return 100 * right(model, images)[draws].mean(1)

    clean, ta = clean_model(), drawn(clean_model(), TEST.images)
    assert same(report.clean_accuracy_interval, ta)
    for bits, stored in report.by_bits.items():
        without, with_patch = [], []
        for name, whole in PATCHES.items():
            found, model = stored.corruptions[name], patched(whole.at_bits(int(bits)))
            assert same(found.patched_clean_accuracy_interval, drawn(model, TEST.images))
            images = {severity: corrupt(TEST.images, name, severity, seed=7) for severity in (3, 5)}
            ra = {severity: drawn(clean, one) for severity, one in images.items()}
            mended = {severity: drawn(model, one) for severity, one in images.items()}
            for severity, pair in found.by_severity.items():
                assert same(pair.clean_model_interval, ra[severity])
                assert same(pair.patched_interval, mended[severity])
                assert same(pair.gain_interval, mended[severity] - ra[severity])
            without.append((ra[3] + ra[5]) / 2)
            with_patch.append((mended[3] + mended[5]) / 2)
            assert same(found.clean_model_interval, without[-1])
            assert same(found.patched_interval, with_patch[-1])
            assert same(found.gain_interval, with_patch[-1] - without[-1])
        mean, mean_patched = torch.stack(without).mean(0), torch.stack(with_patch).mean(0)
        assert same(stored.mean.clean_model_interval, mean)
        assert same(stored.mean.patched_interval, mean_patched)
        assert same(stored.mean.gain_interval, mean_patched - mean)
        assert same(stored.gap_recovered_interval, (mean_patched - mean) / (ta - mean))
    first = report.by_bits["8"]
    assert report.mean == first.mean
    assert report.gap_recovered_interval == first.gap_recovered_interval


def test_the_rival_is_drawn_with_the_images_that_it_saw() -> None:
    options = EvaluationOptions(rival_batches=(10,), resamples=100)
    report = evaluate(
        clean_model(), PATCHES, TEST, options, rival=two_convs(seed=1, batch_norm=True)
    )
    norm = two_convs(seed=1, batch_norm=True).train()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    draws = chosen(100, 0)

    def drawn(images: Tensor) -> Tensor:
        hits = torch.empty(30, dtype=torch.float64)
        for part in torch.split(order, 10):
            with torch.no_grad():
                hits[part] = (norm(images[part]).argmax(1) == TEST.labels[part]).double()
        return 100 * hits[draws].mean(1)

    found = report.rival[10]
    assert same(found.clean_accuracy_interval, drawn(TEST.images))
    ra = {name: drawn(corrupt(TEST.images, name, 5, seed=0)) for name in PATCHES}
    assert found.corruption_intervals is not None
    for name, one in ra.items():
        assert same(found.corruption_intervals[name], one)
    assert same(found.mean_interval, (ra["gaussian_noise"] + ra["fog"]) / 2)


def pairs(report: EvaluationReport) -> list[Pair]:
    every: list[Pair] = []
    for stored in report.by_bits.values():
        every += [stored.mean, *stored.corruptions.values()]
        every += [p for one in stored.corruptions.values() for p in one.by_severity.values()]
    return every


def test_intervals_contain_what_they_belong_to() -> None:
    options = EvaluationOptions(severities=(1, 4), bits=(8, 2))
    report = evaluate(clean_model(), {**PATCHES, "snow": None}, TEST, options)
    found = [(report.clean_accuracy, report.clean_accuracy_interval)]
    for pair in pairs(report):
        found.append((pair.clean_model, pair.clean_model_interval))
        found.append((pair.patched, pair.patched_interval))
        found.append((pair.patched - pair.clean_model, pair.gain_interval))
    for value, interval in found:
        assert interval is not None
        assert interval.low <= value <= interval.high


def test_where_there_is_no_patch_the_gain_is_exactly_nothing() -> None:
    report = evaluate(clean_model(), {**PATCHES, "snow": None}, TEST, OPTIONS)
    snow = report.corruptions["snow"]
    assert snow.gain_interval == Interval(low=0.0, high=0.0)
    assert snow.patched_interval == snow.clean_model_interval
    assert snow.patched_clean_accuracy_interval == report.clean_accuracy_interval


def test_resamples_change_no_figure() -> None:
    def bare(value: object) -> object:
        if not isinstance(value, dict):
            return value
        kept = {k: v for k, v in value.items() if "interval" not in str(k) and k != "resamples"}
        return {key: bare(inner) for key, inner in kept.items()}

    rival, none = two_convs(batch_norm=True), EvaluationOptions(resamples=0)
    without = evaluate(clean_model(), PATCHES, TEST, none, rival=rival)
    with_some = evaluate(clean_model(), PATCHES, TEST, EvaluationOptions(), rival=rival)
    assert bare(without.to_dict()) == bare(with_some.to_dict())
    assert without.clean_accuracy_interval is without.gap_recovered_interval is None
    assert all(pair.gain_interval is None for pair in pairs(without))
    assert without.rival[1].corruption_intervals is None
    assert without.rival[1].mean_interval is None
    assert (without.resamples, with_some.resamples) == (0, 1000)


def test_a_higher_confidence_makes_a_wider_interval() -> None:
    def widths(confidence: float) -> float:
        options = EvaluationOptions(confidence=confidence)
        report = evaluate(clean_model(), PATCHES, TEST, options)
        assert report.confidence == confidence
        known = [pair.patched_interval for pair in pairs(report)]
        return fmean(one.high - one.low for one in known if one is not None)

    assert widths(0.5) < widths(0.9) < widths(0.99)


def test_no_image_is_classified_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    measured = predictions

    def counting(*args: object, **named: object) -> Tensor:
        seen.append(1)
        return measured(*args, **named)  # type: ignore[arg-type]  # handed on as they came

    module = sys.modules["rwsstore.measure.accuracy"]  # the package's name is the function's
    monkeypatch.setattr(module, "predictions", counting)
    evaluate(clean_model(), PATCHES, TEST, OPTIONS)
    # TA, TA with each patch at each width, RA without and with it at each severity
    assert len(seen) == 1 + 2 * 2 + 2 * 2 * (1 + 2)


def test_where_the_gap_may_be_nothing_its_share_has_no_bounds() -> None:
    options = EvaluationOptions(severities=(1,))
    patches = {"gaussian_noise": patch_for("gaussian_noise", severity=1)}
    report = evaluate(clean_model(), patches, TEST, options)
    assert 0 < report.clean_accuracy - report.mean.clean_model < 5
    assert report.gap_recovered is not None
    assert report.gap_recovered_interval is None
    assert report.mean.gain_interval is not None
