"""The report as JSON, CSV and text."""

import csv
import io
import json
import math

import pytest
from rich.console import Console
from torch import nn

from rwsstore.probes.criticality import (
    CriticalityOptions,
    CriticalityReport,
    measure_criticality,
    stability_of,
)
from rwsstore.probes.criticality.measuring import criticality_from
from tests.probes.criticality.making import LAYERS, SHORT, data, made_up, noisy, small


def network(layers: int) -> nn.Module:
    """Convolutions of 1, 2, … parameters at net.conv1, net.conv2, …; as many elsewhere."""
    convs = {f"conv{n}": nn.Conv2d(n, 1, 1, bias=False) for n in range(1, layers + 1)}
    rest = sum(range(1, layers + 1))
    return nn.ModuleDict({"net": nn.ModuleDict(convs), "head": nn.Linear(rest, 1, bias=False)})


def shown(report: CriticalityReport, width: int = 140) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(report.text())
    return console.export_text().splitlines()


def test_rows() -> None:
    report = CriticalityReport.of(network(3), made_up([0.5, 2.0, 3.0]), k=2, dataset="made up")
    assert [row.number for row in report.rows] == [1, 2, 3]
    assert [row.rank for row in report.rows] == [3, 2, 1]
    assert [row.share for row in report.rows] == pytest.approx([1 / 12, 2 / 12, 3 / 12])
    assert [row.name for row in report.chosen] == ["net.conv3", "net.conv2"]
    assert report.chosen_share == pytest.approx(5 / 12)


def test_shares_of_a_whole_network() -> None:
    model = small()
    report = CriticalityReport.of(model, measure_criticality(model, *data(), SHORT))
    total = sum(p.numel() for p in model.parameters())
    assert report.k == len(report.chosen) == 1
    assert [row.name for row in report.rows] == list(LAYERS)
    assert report.rows[3].share == (6 * 6 * 9 + 6) / total


def test_json() -> None:
    found = criticality_from([f"net.conv{n}" for n in (1, 2, 3)], [0.0, 2.0, 1.0], images=9)
    options = CriticalityOptions(epsilon=0.1, steps=4, step_size=None)
    report = CriticalityReport.of(network(3), found, options, seed=8, dataset="made up")
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document == {
        "dataset": "made up", "images": 9, "epsilon": 0.1, "steps": 4, "step_size": None,
        "seed": 8, "k": 1, "chosen": ["net.conv2"], "chosen_share": pytest.approx(2 / 12),
        "stability": None,
        "layers": [
            {
                "number": number, "name": f"net.conv{number}", "weakness": weakness,
                "criticality": index, "rank": rank, "chosen": rank == 1,
                "share": pytest.approx(number / 12),
            }
            for number, weakness, index, rank in (
                (1, 0.0, 0.0, 3), (2, 2.0, None, 1), (3, 1.0, 0.5, 2),
            )
        ],
    }  # fmt: skip


def test_csv() -> None:
    found = criticality_from([f"net.conv{n}" for n in (1, 2, 3)], [0.0, 2.0, 1.0], images=9)
    rows = list(csv.DictReader(io.StringIO(CriticalityReport.of(network(3), found).to_csv())))
    assert [row["layer"] for row in rows] == list(found.layers)
    assert [float(row["weakness"]) for row in rows] == [0, 2, 1]
    assert [float(row["criticality"]) for row in rows] == [0, math.inf, 0.5]
    assert [(row["number"], row["rank"], row["chosen"]) for row in rows] == [
        ("1", "3", "no"), ("2", "1", "yes"), ("3", "2", "no"),
    ]  # fmt: skip


def test_stability_as_json_and_text() -> None:
    weaknesses, labels = noisy()
    stability = stability_of(weaknesses, labels, sizes=(6, 12), draws=4, k=3)
    report = CriticalityReport.of(
        network(6), weaknesses.criticality(), k=2, stability=stability, dataset="made up"
    )
    document = report.to_dict()["stability"]
    assert (document["k"], document["draws"], document["images"]) == (3, 4, 60)
    assert document["reference"] == list(stability.top)
    for said, batch in zip(document["batches"], stability.batches, strict=True):
        names, count = batch.most_frequent
        assert (said["size"], said["most_frequent"]) == (batch.size, list(names))
        assert said["most_frequent_draws"] == count
        assert (said["recovered"], said["same"]) == (batch.recovered, batch.same)
        assert said["means"] == list(batch.means)
        assert said["deviations"] == list(batch.deviations)
    lines, places = shown(report), {row.name: str(row.number) for row in report.rows}
    for batch in stability.batches:
        names, count = batch.most_frequent
        numbers = ", ".join(places[name] for name in names)
        (line,) = [
            line for line in lines if line.split()[:1] == [str(batch.size)] and " of " in line
        ]
        for said in (numbers, f"{count} of 4", f"{batch.recovered:.0%}", f"{batch.same:.0%}"):
            assert f" {said} " in line
    (line,) = [line for line in lines if line.split()[:1] == ["all"]]
    assert ", ".join(places[name] for name in stability.top) in line


def test_what_is_infinite_in_stability_is_null() -> None:
    weaknesses, labels = noisy(layers=2)
    weaknesses.values[:, 0] = 0
    stability = stability_of(weaknesses, labels, sizes=(6,), k=1)
    report = CriticalityReport.of(network(2), weaknesses.criticality(), stability=stability)
    (said,) = report.to_dict()["stability"]["batches"]
    assert (said["means"], said["deviations"]) == ([0.0, None], [0.0, None])
    text = "\n".join(shown(report))
    assert "∞" in text
    assert "nan" not in text


def test_text() -> None:
    lines = shown(CriticalityReport.of(network(3), made_up([0.5, 3.0, 2.0]), k=2, dataset="it"))
    assert lines[0].startswith("Criticality of 3 layers, 20 images of it: PGD-10, ε = 0.03")
    rows = {line.split()[1]: line.split() for line in lines if "conv" in line and "%" in line[20:]}
    assert rows["conv2"] == ["2", "conv2", "3", "3.000", "1", "16.67%", "chosen"]
    assert rows["conv1"] == ["1", "conv1", "0.5", "0.500", "3", "8.33%"]
    assert "Most critical: conv2 (2), conv3 (3); 41.7% of all parameters." in lines
