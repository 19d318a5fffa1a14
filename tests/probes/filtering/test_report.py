"""The report as JSON, as CSV and in words."""

import csv
import io
import json

import pytest
from rich.console import Console

from rwsstore.measure import Resampling
from rwsstore.probes.filtering import FilteringReport, ScoringOptions
from tests.probes.filtering.making import curves_of, made_up


def report(*, resamples: int = 200, above_chance: bool = True) -> FilteringReport:
    curves = [
        made_up([18, 14, 3], attacked, [1.0, 0.5, 0.0], images=20, layer=f"net.{layer}", name=name)
        for layer, attacked in (("one", [12, 8, 2]), ("two", [2, 2, 2]))
        for name in ("h1", "h2")
    ]
    options = ScoringOptions(
        above_chance=above_chance, resampling=Resampling(resamples=resamples, seed=1)
    )
    return FilteringReport.of(curves_of(*curves), options, dataset="made up")


def test_json() -> None:
    found = report()
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["counts"] == {"fragile": 0, "robust": 1, "antifragile": 0}
    one, two = document["layers"]
    assert (one["name"], one["kind"], two["kind"]) == ("net.one", "robust", None)
    h1 = one["filters"]["h1"]
    assert h1["accuracy"] == [90, 70, 15]
    assert h1["attacked_accuracy"] == [60, 40, 10]
    assert h1["remaining"] == [1.0, 0.5, 0.0]
    # (1 + 4 · 3/5 + 0) / 6 − (1 + 2 + 0) / 6
    assert h1["scores"]["s2"]["value"] == pytest.approx(0.4 / 6)
    assert set(h1["scores"]["s2"]["interval"]) == {"low", "high"}
    assert two["scores"]["s2"] is None
    assert document["tolerance"] == 0.1
    assert (document["dataset"], document["images"], document["classes"]) == ("made up", 20, 10)
    assert report(resamples=0).to_dict()["layers"][0]["scores"]["s1"]["interval"] is None


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(report().to_csv())))
    assert [(row["layer"], row["filter"], row["kind"]) for row in rows] == [
        ("net.one", "h1", ""), ("net.one", "h2", ""), ("net.one", "mean", "robust"),
        ("net.two", "h1", ""), ("net.two", "h2", ""), ("net.two", "mean", ""),
    ]  # fmt: skip
    assert float(rows[0]["s2"]) == pytest.approx(0.4 / 6, abs=1e-4)
    assert float(rows[0]["s2_low"]) < float(rows[0]["s2"]) < float(rows[0]["s2_high"])
    assert rows[3]["s2"] == rows[3]["s2_low"] == ""
    assert rows[3]["s1"]


def test_undefined_is_said() -> None:
    first, second = report().undefined()
    assert first == (
        "net.two, h1: S2 and S3 are not defined, for FGSM accuracy at the first threshold is "
        "10.0 %, not above 10.0 %"
    )
    assert second.startswith("net.two, h2: ")
    assert report(above_chance=False).undefined() == ()


def told(found: FilteringReport) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(found.text())
    return console.export_text()


def test_text() -> None:
    text = told(report())
    lines = [line.split() for line in text.splitlines()]
    assert next(line for line in lines if line[:1] == ["two"])[:3] == ["two", "-", "-"]
    one = next(line for line in lines if line[:1] == ["one"])
    assert one[:3] == ["one", "0.07", "0.07"]
    assert "±" in one
    assert "not defined" in text
    assert "made up: accuracy 90.0 %, under FGSM (ε = 0.015) 60.0 %" in text
    assert "0 fragile, 1 robust, 0 antifragile (mean of S2 below -0.1, between, above 0.1)" in text
    assert "95 % bootstrap interval" in text
    assert "chance included" not in text


def test_text_without_intervals_or_chance() -> None:
    text = told(report(resamples=0, above_chance=False))
    assert "±" not in text
    assert "bootstrap" not in text
    assert "chance included" in text
