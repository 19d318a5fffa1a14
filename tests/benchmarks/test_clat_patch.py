"""The bundled patch of kind `clat`, small."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from benchmarks.paper.clat_patch import run
from benchmarks.paper.study import Study
from rwsstore.attacks import Apgd, Pgd
from rwsstore.corruptions import corrupt
from rwsstore.errors import MissingFileError
from rwsstore.measure import accuracy, correctness
from rwsstore.patches import Patch, identify, make_patch
from tests.benchmarks.making import (
    FIVE,
    TEST,
    Interrupted,
    a_study,
    files_of,
    forbid_work,
    kept_at_most,
    models,
    settings,
    stores,
    table,
)
from tests.runtime.making import make_deltas, reference_state

NAME = "clat_patch"
_SMALL = {
    "alphas": (0.5, 1.0), "images": 30, "attack_images": 24, "epsilon": 0.05, "pgd_steps": 2,
    "apgd_steps": 2, "resamples": 100,
}  # fmt: skip


def clat_patch() -> Patch:
    model = models()[0]
    names = [name for name in model.state_dict() if name.endswith("conv4.weight")]
    return make_patch(
        kind="clat", name="clat", model=identify(model.state_dict()), layers=(),
        deltas=make_deltas(model, names, 7, 0.2), bits=8,
    )  # fmt: skip


def small(folder: Path, *, bundled: bool = True, **fields: Any) -> Study:
    narrow, _ = stores(folder)
    if bundled:
        narrow.publish(clat_patch(), name="clat")
    given: dict[str, Any] = {"settings": settings(clat_patch={**_SMALL, **fields})}
    return a_study(NAME, folder, **given)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, dict[str, Any]]:
    """A study that was stopped on the way and taken up again."""
    folder = tmp_path_factory.mktemp("patch")
    stopped = small(folder)
    with kept_at_most(5), pytest.raises(Interrupted):
        run(stopped)
    assert not stopped.docs.exists()
    study = small(folder)
    assert len(study.results) == 5
    return study, run(study)


def test_a_third_run_measures_nothing_and_writes_the_same(
    finished: tuple[Study, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, found = finished
    before = files_of(study)
    assert set(before) == {f"{NAME}.md", f"{NAME}.png"}
    forbid_work(monkeypatch)
    with kept_at_most(0):
        assert run(small(study.work.parent)) == found
    assert files_of(study) == before


def _patched(study: Study, strengths: Mapping[str, float]) -> nn.Module:
    """The clean model and the deltas, added by hand."""
    patches = {entry.name: study.store.get(entry.digest) for entry in study.store.list()}
    chosen = [(patches[name], alpha) for name, alpha in strengths.items()]
    model = models()[0]
    state = {**model.state_dict(), **reference_state(model, chosen)}
    live = study.live(patch for patch, _ in chosen)
    made = live.variant({patch.digest: alpha for patch, alpha in chosen}).module
    for name, tensor in made.state_dict().items():
        assert (tensor - state[name]).abs().max() < 1e-5
    return made


def _worst(study: Study, model: nn.Module) -> Tensor:
    images = study.test.limit(24, study.settings.seed)
    right = correctness(model, images.images, images.labels)
    for attack in (Pgd(0.05, steps=2), Apgd(0.05, steps=2)):
        shown = attack.perturb(model, images.images, images.labels)
        right = right & correctness(model, shown, images.labels)
    return right


@pytest.mark.parametrize(
    ("name", "strengths"),
    [
        ("clean model", {}),
        ("clat at 0.5", {"clat": 0.5}),
        ("clat at 1", {"clat": 1.0}),
        ("contrast", {"contrast": 1.0}),
        ("contrast + clat", {"contrast": 1.0, "clat": 1.0}),
    ],
)
def test_the_figures_are_those_measured_by_hand(
    finished: tuple[Study, dict[str, Any]], name: str, strengths: dict[str, float]
) -> None:
    study, found = finished
    shown, model = found["models"][name], _patched(study, strengths)
    images = study.test.limit(30, study.settings.seed)
    assert shown["ta"]["value"] == pytest.approx(accuracy(model, images.images, images.labels))
    seen = corrupt(images.images, "contrast", 5, seed=study.settings.seed)
    assert shown["ra"]["contrast"] == pytest.approx(accuracy(model, seen, images.labels))
    adversarial = 100 * float(_worst(study, model).double().mean())
    assert shown["adversarial"]["value"] == pytest.approx(adversarial)


def test_the_headlines_follow_from_the_figures(finished: tuple[Study, dict[str, Any]]) -> None:
    study, found = finished
    assert len(study.test) == len(TEST)
    shown = found["models"]
    gain = shown["clat at 1"]["adversarial"]["value"] - shown["clean model"]["adversarial"]["value"]
    assert found["gain"]["value"] == pytest.approx(gain)
    assert found["meets"] == (gain >= 15)
    assert found["payload_bytes"] == clat_patch().payload_bytes
    both = {f"{name}{more}" for name in FIVE for more in ("", " + clat")}
    assert set(shown) == {"clean model", "clat at 0.5", "clat at 1", *both}
    means = [sum(one["ra"].values()) / len(one["ra"]) for one in shown.values()]
    assert [one["mean_ra"]["value"] for one in shown.values()] == pytest.approx(means)


def test_the_page_tells_them(finished: tuple[Study, dict[str, Any]]) -> None:
    study, found = finished
    page = (study.docs / f"{NAME}.md").read_text()
    rows = table(page, "Accuracy in % at each strength")
    assert [row[0] for row in rows[1:]] == ["clean model", "clat at 0.5", "clat at 1"]
    for row in rows[1:]:
        told = found["models"][row[0]]
        for cell, key in zip(row[1:], ("ta", "mean_ra", "adversarial"), strict=True):
            assert cell.startswith(f"{told[key]['value']:.1f} (")
    together = table(page, "With the corruptions' patches, accuracy in %")
    assert len(together) == 1 + 4 * len(FIVE)
    word = "Holds" if found["meets"] else "Does not hold"
    assert f"**{word}: the patch raises adversarial accuracy by 15 points or more.**" in page


def test_the_recommended_strength_is_always_measured(tmp_path: Path) -> None:
    study = small(tmp_path, alphas=(0.25,), images=6, attack_images=6)
    assert {"clat at 0.25", "clat at 1"} < set(run(study)["models"])


def test_a_bundle_without_the_patch_is_refused(tmp_path: Path) -> None:
    study = small(tmp_path, bundled=False)
    with pytest.raises(MissingFileError, match="no patch of kind clat"):
        run(study)
    assert not study.docs.exists()
    assert len(study.results) == 0
