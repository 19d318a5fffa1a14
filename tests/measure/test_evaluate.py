"""TA and RA against a computation by hand."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rwsstore.corruptions import corrupt, load_frost_overlays
from rwsstore.errors import (
    ConfigError,
    GoldenError,
    MismatchError,
    MissingFileError,
    UnknownNameError,
)
from rwsstore.measure import EvaluationOptions, EvaluationReport, evaluate
from rwsstore.patches import Patch
from rwsstore.progress import Task
from tests.measure.making import TEST, clean_model, patch_for
from tests.runtime.making import a_patch, bare_patch, reference_state
from tests.training.tiny import two_convs

PATCHES = {name: patch_for(name, seed=n) for n, name in enumerate(("gaussian_noise", "fog"))}


def percent(model: nn.Module, images: Tensor) -> float:
    with torch.inference_mode():
        return 100 * int((model(images).argmax(1) == TEST.labels).sum()) / len(TEST)


def patched(patch: Patch) -> nn.Module:
    model = two_convs()
    model.load_state_dict(reference_state(clean_model(), [(patch, 1.0)]))
    return model.eval()


def test_numbers_are_those_of_a_computation_by_hand() -> None:
    options = EvaluationOptions(severities=(3, 5), bits=(8, 3), seed=7)
    report = evaluate(clean_model(), PATCHES, TEST, options)
    clean = clean_model()
    assert (report.dataset, report.images, report.severities) == ("tiny", 30, (3, 5))
    assert report.clean_accuracy == pytest.approx(percent(clean, TEST.images))
    assert report.bits == 8
    assert list(report.by_bits) == ["8", "3"]
    for bits, stored in report.by_bits.items():
        ra, means = [], []
        for name, whole in PATCHES.items():
            patch = whole.at_bits(int(bits))
            found = stored.corruptions[name]
            assert (found.patch, found.digest) == (f"{name}_patch", whole.digest)
            assert found.patched_clean_accuracy == pytest.approx(
                percent(patched(patch), TEST.images)
            )
            for severity in (3, 5):
                images = corrupt(TEST.images, name, severity, seed=7)
                pair = found.by_severity[severity]
                assert pair.clean_model == pytest.approx(percent(clean, images))
                assert pair.patched == pytest.approx(percent(patched(patch), images))
            pairs = found.by_severity.values()
            assert found.clean_model == pytest.approx(sum(p.clean_model for p in pairs) / 2)
            assert found.patched == pytest.approx(sum(p.patched for p in pairs) / 2)
            means.append(found.clean_model)
            ra.append(found.patched)
        assert stored.mean.clean_model == pytest.approx(sum(means) / 2)
        assert stored.mean.patched == pytest.approx(sum(ra) / 2)
        gap = report.clean_accuracy - stored.mean.clean_model
        assert gap > 0
        assert stored.gap_recovered == pytest.approx((sum(ra) - sum(means)) / 2 / gap)
    assert report.corruptions == report.by_bits["8"].corruptions
    assert report.mean == report.by_bits["8"].mean
    assert report.gap_recovered == report.by_bits["8"].gap_recovered


def test_bytes_are_counted_as_they_are_stored_and_sent() -> None:
    report = evaluate(clean_model(), PATCHES, TEST, EvaluationOptions(bits=(4,)))
    assert report.model_bytes == 4 * sum(p.numel() for p in clean_model().parameters())
    four = [patch.at_bits(4) for patch in PATCHES.values()]
    assert report.patch_payload_bytes == sum(patch.payload_bytes for patch in four)
    assert report.patch_file_bytes == sum(len(patch.to_bytes()) for patch in four)


def test_as_stored_is_the_default() -> None:
    report = evaluate(clean_model(), PATCHES, TEST, EvaluationOptions())
    assert report.bits is None
    assert list(report.by_bits) == ["stored"]
    assert report.frost_source == "synthetic"
    assert report.rival == {}
    again = evaluate(clean_model(), PATCHES, TEST, EvaluationOptions())
    assert again == report
    eight = evaluate(clean_model(), PATCHES, TEST, EvaluationOptions(bits=(8,)))
    assert eight.corruptions == report.corruptions


class Right(nn.Module):
    """Cannot be wrong: the strongest colour is the class, whatever the brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.conv.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x.float()).mean((2, 3))
        return logits


def test_where_nothing_is_lost_no_gap_is_recovered() -> None:
    model = Right().eval()
    patch = a_patch(model, scale=1e-3, corruption="contrast", severity=1)
    options = EvaluationOptions(severities=(1,))
    report = evaluate(model, {"contrast": patch}, TEST, options)
    assert report.clean_accuracy == report.mean.clean_model == 100.0
    assert report.gap_recovered is None
    assert report.to_dict()["gap_recovered"] is None


def test_the_rival_is_measured_on_the_same_images() -> None:
    rival = two_convs(seed=1, batch_norm=True)
    options = EvaluationOptions(severities=(2, 4), rival_batches=(1, 10))
    report = evaluate(clean_model(), PATCHES, TEST, options, rival=rival)
    assert list(report.rival) == [1, 10]
    norm = two_convs(seed=1, batch_norm=True).train()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))

    def by_hand(images: Tensor, batch: int) -> float:
        right = 0
        for part in torch.split(order, batch):
            with torch.no_grad():
                right += int((norm(images[part]).argmax(1) == TEST.labels[part]).sum())
        return 100 * right / 30

    for batch, found in report.rival.items():
        assert found.clean_accuracy == pytest.approx(by_hand(TEST.images, batch))
        for name, number in found.corruptions.items():
            made = [corrupt(TEST.images, name, severity, seed=0) for severity in (2, 4)]
            assert number == pytest.approx(sum(by_hand(one, batch) for one in made) / 2)
        assert found.mean == pytest.approx(sum(found.corruptions.values()) / 2)


def test_frost_overlays_are_used_and_named(tmp_path: Path) -> None:
    for number in range(2):
        Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / f"frost{number}.png")
    patches = {"frost": patch_for("frost")}
    options = EvaluationOptions(frost_overlays=tmp_path)
    report = evaluate(clean_model(), patches, TEST, options)
    assert report.frost_source == "overlays:2 files"
    overlays = load_frost_overlays(tmp_path)
    images = corrupt(TEST.images, "frost", 5, seed=0, frost_overlays=overlays)
    assert report.corruptions["frost"].clean_model == pytest.approx(percent(clean_model(), images))


def test_the_progress_ends_where_it_said() -> None:
    class Counting:
        done, total = 0, 0

        @contextmanager
        def task(self, description: str, *, total: int) -> Iterator[Task]:
            self.total = total
            yield self

        def advance(self, steps: int = 1, *, note: str = "") -> None:
            self.done += steps

    reporter = Counting()
    options = EvaluationOptions(severities=(1, 2), bits=(8, 4), rival_batches=(5, 6, 7))
    rival = two_convs(batch_norm=True)
    evaluate(clean_model(), PATCHES, TEST, options, rival=rival, progress=reporter)
    assert reporter.done == reporter.total > 0


def refuse(monkeypatch: pytest.MonkeyPatch, **named: object) -> EvaluationReport:
    """Evaluate, where nothing may be measured."""
    module = sys.modules["rwsstore.measure.evaluate"]  # the package's name is the function's
    monkeypatch.setattr(module, "correctness", None)
    fields = {"patches": PATCHES, "options": EvaluationOptions(), "images": TEST, **named}
    return evaluate(clean_model(), **fields)  # type: ignore[arg-type]  # each test names its own


def test_refusals_come_before_the_first_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="16"):
        refuse(monkeypatch, options=EvaluationOptions(bits=(4, 16)))
    with pytest.raises(ConfigError, match="bits is 5"):
        refuse(monkeypatch, options=EvaluationOptions(bits=(5,)))
    with pytest.raises(ConfigError, match="no patches"):
        refuse(monkeypatch, patches={})
    with pytest.raises(UnknownNameError, match="fogg"):
        refuse(monkeypatch, patches={"fogg": PATCHES["fog"]})
    with pytest.raises(ConfigError, match="no BatchNorm"):
        refuse(monkeypatch, rival=two_convs())
    with pytest.raises(MissingFileError):
        refuse(monkeypatch, options=EvaluationOptions(frost_overlays=tmp_path / "none"))
    with pytest.raises(MismatchError, match="transfer"):
        refuse(monkeypatch, patches={**PATCHES, "snow": bare_patch(two_convs(seed=9))})


def test_golden_logits_are_checked_before_the_patch_is_quantized_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle = a_patch(clean_model(), scale=0.0)
    with pytest.raises(GoldenError, match="does nothing"):
        refuse(monkeypatch, patches={"fog": idle}, options=EvaluationOptions(bits=(4,)))


def test_patches_of_other_weights_are_taken_where_asked_for() -> None:
    patches = {"fog": bare_patch(two_convs(seed=9))}
    report = evaluate(clean_model(), patches, TEST, EvaluationOptions(), allow_transfer=True)
    assert list(report.corruptions) == ["fog"]


@pytest.mark.parametrize(
    "fields",
    [
        {"severities": ()}, {"severities": (0,)}, {"severities": (6,)}, {"severities": (5, 5)},
        {"severities": (True,)}, {"rival_batches": (0,)}, {"rival_batches": (8, -1)},
        {"resamples": -1}, {"resamples": 39}, {"confidence": 1.0}, {"confidence": 0.0},
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        EvaluationOptions(**fields)  # type: ignore[arg-type]  # names and values vary


def test_the_report_is_json() -> None:
    options = EvaluationOptions(severities=(2, 5), rival_batches=(8,))
    rival = two_convs(batch_norm=True)
    report = evaluate(clean_model(), PATCHES, TEST, options, rival=rival)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["corruptions"]["fog"]["by_severity"]["2"]["patched"] == (
        report.corruptions["fog"].by_severity[2].patched
    )
    assert EvaluationReport.model_validate(document) == report
