"""`rws extract --recipe clat`."""

from pathlib import Path

import pytest

from rwsstore.store import Store
from tests.cli.conftest import EXTRACT, Bench, Rws

CLAT = [
    *EXTRACT, "--recipe", "clat", "--set", "steps=1", "--set", "images=10", "--set", "judged=20",
    "--set", "every_steps=2", "--set", "k=2", "--card-images", 5, "--card-budget", 0.4,
]  # fmt: skip


def test_clat_tells_what_it_selected_and_what_is_in_the_patch(
    bench: Bench, rws: Rws, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    common = [*CLAT, "--model", bench.model, "--store", store]
    text = rws(*common).out
    first, *rest = text.splitlines()
    assert first.startswith("clat@1 ")
    metadata = Store(store).get("clat").metadata
    assert (metadata.kind, metadata.attack) == ("clat", "pgd20_apgd100_linf")
    assert rest[0].startswith("  from step 0: network.features.conv")
    assert rest[1].startswith("  from step 2: network.features.conv")
    assert rest[-3].startswith("  trained in the mean: ")
    layers = ", ".join(metadata.layers)
    assert rest[-2] == f"  in the patch, from the epoch that was kept: {layers}"
    (again,) = rws(*common, "--json").document["patches"]
    assert (again["extracted"], again["remarks"]) == (False, [])
    (other,) = rws(*common, "--name", "other", "--json").document["patches"]
    assert [f"  {line}" for line in other["remarks"]] == rest[:-2]
    assert other["layers"] == list(metadata.layers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "k=14"], "k is 14; the model has 13 convolutions"),
        (["--set", "k=0"], "recipe clat: k"),
        (["--set", "epsilon=0"], "recipe clat: epsilon"),
        (["--set", "epsilon=-1"], "recipe clat: epsilon"),
        (["--layers", "classifier"], "holds a convolution of the main path"),
        (["--set", "select=worst"], "'critical' or 'random'"),
        (["--card-budget", "2"], "1"),
    ],
)
def test_what_clat_cannot_do_is_refused(
    bench: Bench, rws: Rws, tmp_path: Path, options: list[str], message: str
) -> None:
    store = tmp_path / "store"
    plain = [*EXTRACT, "--recipe", "clat", "--model", bench.model, "--store", store]
    outcome = rws(*plain, *options)
    assert (outcome.code, outcome.out) == (4, "")
    assert message in outcome.err
    assert not store.exists()
