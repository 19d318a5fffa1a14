"""The page and the dashboard name what there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rwsstore_service.engine.records import ACTIONS, DROPPED
from rwsstore_service.wire.logs import JsonFormatter
from rwsstore_service.wire.observability import REASONS, Metrics
from tests.service.wire.watched import watched

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs/operate/observability.md"
DASHBOARD = ROOT / "deploy/grafana/dashboards/rwsstore.json"
DATASOURCE = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"


def touched() -> Metrics:
    """Metrics with every series that there can be."""
    metrics = Metrics(ACTIONS, DROPPED)
    metrics.started()
    metrics.answered("GET", "/livez", 200, 0.001)
    metrics.predicted(queued=0.1, decoded=0.1, computed=0.1, images=1)
    metrics.batch(images=1, requests=1, patch_sets=1)
    metrics.generation("bundled", 1, 0)
    metrics.model("bundled", network="vgg16", weights="0" * 64, compute="float32")
    metrics.watch("bundled", waiting=lambda: 0, resident=lambda: 0)
    return metrics


@pytest.fixture(scope="module")
def text() -> str:
    return touched().render()[0].decode()


def table(title: str) -> list[list[str]]:
    """Give the rows of the first table under a heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_page_lists_exactly_the_metrics_with_their_types_and_labels(text: str) -> None:
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            name = base(one.name)
            labels.setdefault(name, set()).update(set(one.labels) - {"le"})
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))

    documented = [(row[0].strip("`"), row[1], row[2]) for row in table("Metrics")]
    assert sorted(documented) == sorted(
        (name, types[name], ", ".join(sorted(labels[name], key=order))) for name in types
    )


def order(label: str) -> tuple[int, str]:
    first = ("model", "method", "route", "status", "action", "outcome")
    return (first.index(label) if label in first else len(first), label)


def test_the_page_lists_the_reasons() -> None:
    (row,) = [row for row in table("Metrics") if row[0] == "`rwsstore_rejected_total`"]
    assert row[3] == f"refused: {', '.join(REASONS)}"


def test_the_page_lists_the_fields_of_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="rwsstore_service"):
        watched().ask_all([("GET", "/readyz"), ("GET", "/v1/models/m/fails")])
    formatter = JsonFormatter()
    written: set[str] = set()
    for line in caplog.records:
        if line.name.startswith("rwsstore_service"):
            written |= set(json.loads(formatter.format(line)))
    assert {row[0].strip("`") for row in table("Logs")} == written | {"trace_id"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def found_under(value: object, key: str) -> list[Any]:
    """Give every value under a key, at any depth."""
    if isinstance(value, list):
        return [one for item in value for one in found_under(item, key)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [one for item in value.values() for one in found_under(item, key)]


def test_the_dashboard_asks_for_metrics_and_labels_that_there_are(
    dashboard: dict[str, Any], text: str
) -> None:
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    names = {one.name for one in samples}
    asked = found_under(dashboard, "expr") + found_under(dashboard, "query")
    queries = [query for query in asked if isinstance(query, str)]
    used = {name for query in queries for name in re.findall(r"rwsstore_\w+", query)}
    assert used <= names
    known = {label for one in samples for label in one.labels} | {"job", "instance"}
    for query in queries:
        grouped = ",".join(re.findall(r"by \(([^)]*)\)", query)).split(",")
        matched = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", query)
        assert {label.strip() for label in [*grouped, *matched] if label.strip()} <= known
    left_out = set(map(base, names)) - set(map(base, used))
    assert left_out == {"rwsstore_process_virtual_memory_bytes", "python_info"}


def base(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


def test_panels_have_their_own_ids_and_places(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        cells |= taken


def test_everything_asks_the_datasource_that_is_provisioned(dashboard: dict[str, Any]) -> None:
    (uid,) = re.findall(r"^ +uid: (\S+)$", DATASOURCE.read_text(encoding="utf-8"), re.MULTILINE)
    sources = found_under(dashboard, "datasource")
    assert sources
    assert {source["uid"] for source in sources} == {uid}
    assert "http://prometheus:9090" in DATASOURCE.read_text(encoding="utf-8")


def test_prometheus_and_grafana_find_what_compose_gives_them() -> None:
    scrape = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    assert 'targets: ["rwsstore:8000"]' in scrape
    assert "metrics_path: /metrics" in scrape
    provider = ROOT / "deploy/grafana/provisioning/dashboards/rwsstore.yml"
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    (folder,) = re.findall(r"path: (\S+)", provider.read_text(encoding="utf-8"))
    assert f"./deploy/grafana/dashboards:{folder}:ro" in compose
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in compose
    assert "./deploy/prometheus:/etc/prometheus:ro" in compose


def test_every_action_of_the_journal_is_counted(text: str) -> None:
    for action in ACTIONS:
        assert f'rwsstore_patch_changes_total{{action="{action}",outcome="done"}} 0.0' in text
