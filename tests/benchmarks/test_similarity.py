"""Figures 2 to 4, and figure 9."""

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

import rwsstore.probes.gains as gains_module
from benchmarks.paper import similarity
from rwsstore.corruptions import corrupt
from rwsstore.probes import GainOptions, compare_signatures, find_signatures, measure_gains
from rwsstore.probes.groups import contrast_groups
from rwsstore.store import Store
from tests.benchmarks.making import (
    FIVE,
    NAMES,
    TEST,
    a_study,
    check_done_once,
    files_of,
    models,
    table,
)
from tests.runtime.making import bare_patch

KINDS = ("cosine", "gains", "layers", "norms")


def test_it_goes_on_and_measures_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = check_done_once(similarity.run, "similarity", tmp_path, monkeypatch)
    assert set(files_of(study)) == {"similarity.md", *(f"similarity-{k}.png" for k in KINDS)}
    page = (study.docs / "similarity.md").read_text()
    assert "too few patches to ask whether the groups appear in the cosines" in page
    for kind in KINDS:
        assert f"(similarity-{kind}.png)" in page


def test_a_second_run_corrupts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = similarity.compare(a_study("similarity", tmp_path))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("this was done before")

    monkeypatch.setattr(gains_module, "corrupt", never)
    again = similarity.compare(a_study("similarity", tmp_path))
    assert again.to_dict() == first.to_dict()


def test_the_numbers_are_the_librarys(tmp_path: Path) -> None:
    clean, names = models()[0], (*NAMES, "snow", "pixelate")
    store = Store(tmp_path / "five")
    for seed, name in enumerate(names):
        store.publish(
            bare_patch(clean, name, seed=seed, layers=2, scale=0.1, corruption=name, severity=5)
        )
    study = a_study("similarity", tmp_path, store=store)
    similarity.run(study)
    page = (study.docs / "similarity.md").read_text()
    order = ("gaussian_noise", "snow", "fog", "contrast", "pixelate")
    signatures = find_signatures(clean, store)
    gains = measure_gains(clean, signatures, TEST, GainOptions(corruptions=order))
    compared = compare_signatures(clean, signatures)
    patches = table(page, "Patches")
    assert [row[0] for row in patches[1:]] == list(order)
    for place, row in enumerate(patches[1:]):
        own = float(gains.gains[place, place])
        others = (float(gains.gains[place].sum()) - own) / 4
        assert row[1] == f"{float(compared.total_norms[place]):.2f}"
        assert row[3:] == [f"{own:+.1f}", f"{others:+.1f}", f"{float(gains.costs[place]):+.1f}"]
    layers = table(page, "Layers, means over the patches and their pairs")
    assert [row[0] for row in layers[1:]] == ["conv1", "conv2"]
    assert layers[1][4] == f"{float(compared.mean_layer_cosine[0]):.2f}"
    groups = contrast_groups(compared.cosine, order, order, symmetric=True)
    assert groups is not None
    assert f"within groups is {groups.within:.2f}, between them {groups.between:.2f}" in page
    assert f"p = {groups.p_value:.2g}." in page
    means = table(page, "Mean cosine, different corruptions")
    assert means[0] == ["patches for", "noise", "weather", "digital"]
    assert means[2][2] == f"{float(compared.cosine[1, 2]):.2f}"  # snow and fog


def test_features_of_a_picture_and_of_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=generator)
    study = a_study("features", tmp_path)
    monkeypatch.setattr(similarity, "_IMAGES", 3)
    similarity.show(study, image)
    before = files_of(study)
    assert set(before) == {"features.md", *(f"features-{name}.png" for name in FIVE)}
    page = before["features.md"].decode()
    title = next(line for line in page.splitlines() if line.startswith("**Distance"))
    distances = table(page, title.strip("*"))
    assert distances[0][:2] == ["corruption", "conv1, clean → patched"]
    assert [row[0] for row in distances[1:]] == list(FIVE)
    # The first convolution of the clean model: how far its output is from the uncorrupted one's.
    name = FIVE[1]
    conv = models()[0].get_submodule("network.features.conv1")
    found = []
    for index in range(3):
        shown = corrupt(TEST.images[index][None], name, 5, seed=0, indices=[index])
        far, near = (conv(models()[0].normalize(x)) for x in (shown, TEST.images[index][None]))
        found.append(100 * float((far - near).detach().norm() / near.detach().norm()))
    assert distances[2][1].split(" → ")[0] == f"{sum(found) / 3:.0f}"
    monkeypatch.setattr(similarity, "fmean", None)  # nothing is measured twice
    monkeypatch.setattr("rwsstore.probes.FeatureMaps.pictures", lambda _: {"": b""})
    similarity.show(a_study("features", tmp_path), image)
    assert files_of(study)["features.md"] == before["features.md"]
    with Image.open(io.BytesIO(before[f"features-{name}.png"])) as picture:
        assert min(picture.size) > 300


def test_the_picture_is_a_cat_that_anyone_may_use() -> None:
    cat = similarity.chelsea(32)
    assert (cat.dtype, cat.shape) == (torch.uint8, (3, 32, 32))
    assert 80 < float(cat.float().mean()) < 160
