"""Names, labels and bounds of the metrics."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from rwsstore_service.engine.records import ACTIONS, DROPPED
from rwsstore_service.wire.observability import OUTCOMES, REASONS, UNMATCHED, Metrics


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"rwsstore_{name}", labels)


def test_a_request_is_counted_once_and_is_in_flight_meanwhile() -> None:
    metrics = Metrics()
    metrics.started()
    metrics.started()
    assert sample(metrics, "requests_in_flight") == 2

    assert metrics.answered("GET", "/v1/models", 200, 0.02) == "GET"

    assert sample(metrics, "requests_in_flight") == 1
    assert sample(metrics, "requests_total", method="GET", route="/v1/models", status="200") == 1
    assert sample(metrics, "request_seconds_sum", route="/v1/models") == pytest.approx(0.02)


def test_requests_are_told_apart_by_method_route_and_status() -> None:
    metrics = Metrics()
    given = [("GET", "/a", 200), ("POST", "/a", 200), ("GET", "/b", 200), ("GET", "/a", 404)]
    for method, route, status in given * 2:
        metrics.started()
        metrics.answered(method, route, status, 0.5)

    for method, route, status in given:
        labels = {"method": method, "route": route, "status": str(status)}
        assert sample(metrics, "requests_total", **labels) == 2
    assert sample(metrics, "request_seconds_count", route="/a") == 6
    assert sample(metrics, "request_seconds_sum", route="/b") == 1.0


def test_made_up_methods_share_one_label() -> None:
    metrics = Metrics()
    for method in ("BREW", "get", "X" * 10_000, "GET\n"):
        metrics.started()
        assert metrics.answered(method, UNMATCHED, 405, 0.001) == "other"

    assert sample(metrics, "requests_total", method="other", route=UNMATCHED, status="405") == 4


def test_the_times_of_a_prediction_are_told_apart() -> None:
    metrics = Metrics()
    metrics.predicted(queued=0.25, decoded=0.5, computed=1.5, images=3)
    metrics.predicted(queued=0.0, decoded=None, computed=0.5, images=2)
    metrics.batch(images=5, requests=2, patch_sets=2)

    assert sample(metrics, "queue_seconds_sum") == 0.25
    assert sample(metrics, "decode_seconds_count") == 1
    assert sample(metrics, "decode_seconds_sum") == 0.5
    assert sample(metrics, "compute_seconds_sum") == 2.0
    assert sample(metrics, "images_total") == 5
    assert sample(metrics, "batch_images_sum") == 5
    assert sample(metrics, "batch_requests_sum") == 2
    assert sample(metrics, "batch_patch_sets_sum") == 2


def test_buckets_go_from_half_a_millisecond_to_ten_seconds() -> None:
    metrics = Metrics()
    metrics.predicted(queued=0.0004, decoded=None, computed=9.9, images=1)

    assert sample(metrics, "queue_seconds_bucket", le="0.0005") == 1
    assert sample(metrics, "compute_seconds_bucket", le="5.0") == 0
    assert sample(metrics, "compute_seconds_bucket", le="10.0") == 1


def test_the_active_patch_set_is_a_number_and_a_count() -> None:
    metrics = Metrics()
    metrics.generation("bundled", 7, 2)
    metrics.generation("bundled", 8, 0)

    assert sample(metrics, "active_generation", model="bundled") == 8
    assert sample(metrics, "active_patches", model="bundled") == 0


def test_changes_and_refusals_stand_at_zero_before_the_first() -> None:
    metrics = Metrics(ACTIONS, DROPPED)
    metrics.changed("apply", "refused")
    metrics.rejected("overloaded")
    metrics.dropped("displaced")

    for action in ACTIONS:
        for outcome in OUTCOMES:
            count = sample(metrics, "patch_changes_total", action=action, outcome=outcome)
            assert count == ((action, outcome) == ("apply", "refused"))
    for why in DROPPED:
        assert sample(metrics, "dropped_total", reason=why) == (why == "displaced")
    for reason in REASONS:
        assert sample(metrics, "rejected_total", reason=reason) == (reason == "overloaded")


def test_a_models_weights_are_told_once() -> None:
    metrics = Metrics()
    metrics.model("bundled", network="vgg16", weights="a" * 64, compute="float32")
    metrics.model("bundled", network="vgg16", weights="b" * 64, compute="bf16")

    text = metrics.render()[0].decode()
    assert text.count("rwsstore_model_info{") == 1
    labels = 'compute="bf16",model="bundled",network="vgg16",weights="bbbb'
    assert f"rwsstore_model_info{{{labels}" in text


def test_watched_gauges_are_read_anew_each_time() -> None:
    metrics = Metrics()
    waiting: list[int] = []
    metrics.watch("bundled", waiting=lambda: len(waiting), resident=lambda: 5)
    waiting.append(1)

    assert sample(metrics, "queue_depth") == 1
    assert sample(metrics, "variants_resident", model="bundled") == 5


def test_a_gauge_that_cannot_be_read_leaves_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    metrics.watch("bundled", waiting=lambda: 1 / 0, resident=lambda: 5)
    metrics.generation("bundled", 3, 1)

    text = metrics.render()[0].decode()

    assert "rwsstore_queue_depth NaN" in text
    assert 'rwsstore_active_generation{model="bundled"} 3.0' in text
    assert 'rwsstore_variants_resident{model="bundled"} 5.0' in text
    assert "cannot read queue_depth" in caplog.text


def test_two_apps_count_for_themselves() -> None:
    one, other = Metrics(), Metrics()
    one.rejected("forbidden")
    assert sample(other, "rejected_total", reason="forbidden") == 0


def test_text_is_what_prometheus_reads() -> None:
    body, kind = Metrics().render("text/plain;version=0.0.4")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name for family in read_text(body.decode())}
    assert {"rwsstore_requests", "rwsstore_build_info", "python_info"} <= families
    assert not [name for name in families if name.endswith("_created")]


def test_openmetrics_is_written_where_it_is_asked_for() -> None:
    body, kind = Metrics().render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"# EOF\n")
    families = read_openmetrics(body.decode())  # type: ignore[no-untyped-call]  # it has none
    assert "rwsstore_requests" in {family.name for family in families}


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/openmetrics-text; version=9\r\nX-Evil: 1", "text/plain; version=a.b"],
)
def test_nothing_of_the_accept_header_comes_back(accept: str) -> None:
    assert Metrics().render(accept)[1] in (
        "text/plain; version=0.0.4; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
