"""The OpenAPI document: whole, valid, true, and the pages made of it."""

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from rwsstore_service import Settings, create_app, describe
from rwsstore_service.api.description.openapi import operations
from rwsstore_service.describe import PAGES, default_document
from rwsstore_service.wire.problems import MEDIA_TYPE, PROBLEMS
from tests.service.answering import SET

DOCS = Path(__file__).parents[3] / "docs"
HTTP_ERRORS = {kind.name: str(kind.status) for kind in PROBLEMS.values()}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return default_document()


@pytest.fixture(scope="module")
def described(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Operations by operationId."""
    return {operation["operationId"]: operation for _, _, operation in operations(document)}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from nodes(child)


def validator(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """Of a schema in the document, its references included."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})


@pytest.mark.parametrize(
    ("page", "name"), [("openapi", "openapi.json"), ("settings", "operate/settings.md")]
)
def test_the_exported_pages_are_those_of_the_code(page: str, name: str) -> None:
    """`make docs` writes them."""
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[page]()


def test_the_environment_is_not_in_it(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RWS_MAX_IMAGES", "3")
    monkeypatch.setenv("RWS_DOCS", "false")
    monkeypatch.setattr("sys.argv", ["describe", "openapi"])
    runpy.run_path(describe.__file__, run_name="__main__")
    assert json.loads(capsys.readouterr().out) == document


def test_every_route_is_described(document: dict[str, Any]) -> None:
    app = create_app(Settings.model_construct())
    routes = {
        (route.path, method)
        for route in iter_route_contexts(app.routes)
        if route.path is not None and not route.path.startswith(("/docs", "/openapi.json"))
        for method in route.methods or ()
    }
    assert {(path, verb.upper()) for path, verb, _ in operations(document)} == routes
    assert len(routes) >= 31


def test_every_operation_says_what_it_is(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    names = []
    for path, verb, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert set(operation["tags"]) <= tags
        assert "security" in operation
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
        names.append(operation["operationId"])
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, verb, parameter["name"])
            assert {"type": "null"} not in parameter["schema"].get("anyOf", [])
    assert len(set(names)) == len(names)
    assert {"apply_patch", "predict", "replace_patchset", "oip_infer"} <= set(names)


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    used = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    assert len(used) > 60
    for reference_ in used:
        found: Any = document
        for step in reference_.removeprefix("#/").split("/"):
            found = found[step]


def test_errors_are_problems_with_examples(document: dict[str, Any]) -> None:
    for path, verb, operation in operations(document):
        bad = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
        assert {"400", "408", "413", "415", "431", "503"} <= set(bad), (path, verb)
        for status, response in bad.items():
            (media,) = response["content"]
            assert media == MEDIA_TYPE
            examples = response["content"][media]["examples"]
            assert examples, (path, verb, status)
            assert {HTTP_ERRORS[name] for name in examples} == {status}
            assert all(PROBLEMS[name].title in response["description"] for name in examples)
    problem = document["components"]["schemas"]["Problem"]
    for example in document["components"]["examples"].values():
        validator(problem, document).validate(example["value"])


def test_headers_of_answers(described: dict[str, dict[str, Any]]) -> None:
    for name, operation in described.items():
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"], name
            assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))
            assert ("WWW-Authenticate" in response["headers"]) == (status == "401")
    for name in ("read_patchset", "apply_patch", "replace_patchset", "roll_back"):
        assert "ETag" in described[name]["responses"]["200"]["headers"]
    for name in ("upload_patch", "compose_patches"):
        headers = described[name]["responses"]["201"]["headers"]
        assert {"Location", "Idempotency-Replayed"} <= set(headers)
    assert "ETag" in described["download_patch"]["responses"]["200"]["headers"]


def test_who_may(described: dict[str, dict[str, Any]]) -> None:
    assert described["apply_patch"]["security"] == [{"token": []}]
    assert described["read_history"]["security"] == [{"token": []}]
    assert described["predict"]["security"] == [{"token": []}, {}]
    assert described["read_liveness"]["security"] == []


def test_if_match_is_needed_only_to_replace(described: dict[str, dict[str, Any]]) -> None:
    needed = {
        name: parameter["required"]
        for name, operation in described.items()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == "If-Match"
    }
    assert {name for name, required in needed.items() if required} == {"replace_patchset"}
    assert len(needed) == 6


def test_examples_of_answers_are_of_their_shape(
    document: dict[str, Any], described: dict[str, dict[str, Any]]
) -> None:
    for operation in described.values():
        for status, response in operation["responses"].items():
            if int(status) < 300 and "application/json" in response.get("content", {}):
                content = response["content"]["application/json"]
                validator(content["schema"], document).validate(content["example"])


def test_examples_of_bodies_are_of_their_shape(
    document: dict[str, Any], described: dict[str, dict[str, Any]]
) -> None:
    for name, operation in described.items():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if media == "application/json" and name.startswith("oip"):
                validator(content["schema"], document).validate(content["example"])
            elif media == "application/json":
                assert content["examples"], name
                for example in content["examples"].values():
                    validator(content["schema"], document).validate(example["value"])


def test_every_problem_has_an_example_of_its_shape(document: dict[str, Any]) -> None:
    examples = document["components"]["examples"]
    assert set(examples) == set(PROBLEMS)
    for name, example in examples.items():
        assert example["value"]["type"] == f"urn:rwsstore:problem:{name}"
        validator(document["components"]["schemas"]["Problem"], document).validate(example["value"])


def test_examples_are_what_the_service_answers(
    client: TestClient, described: dict[str, dict[str, Any]]
) -> None:
    """Those of one story, less what is of its time: numbers, times, request ids."""

    def answer(name: str) -> dict[str, Any]:
        (told,) = [
            response["content"]["application/json"]["example"]
            for status, response in described[name]["responses"].items()
            if int(status) < 300
        ]
        return cast("dict[str, Any]", told)

    def body(name: str) -> Any:
        content = described[name]["requestBody"]["content"]["application/json"]
        return content["examples"]["two"]["value"]

    real = client.put(SET, json=body("replace_patchset"), headers={"If-Match": "*"}).json()
    changing = {"generation": 0, "at": ""}
    assert {**real, **changing} == {**answer("replace_patchset"), **changing}
    for name in ("fog", "models"):
        path = "/v1/patches/fog" if name == "fog" else "/v1/models/bundled"
        told = answer("describe_patch" if name == "fog" else "describe_model")
        own = {"patchset": 0, "compute": 0}  # the latter is another machine's
        assert client.get(path).json() | own == told | own
    composed = client.post("/v1/compositions", json=body("compose_patches"))
    assert composed.json() == answer("compose_patches")
    for path, name in (("/v2", "oip_server"), ("/v2/models/bundled", "oip_model")):
        assert client.get(path).json() == answer(name)


def test_limits_are_the_operators() -> None:
    app = create_app(Settings.of(max_images=3))
    content = app.openapi()["paths"]["/v1/models/{model}/predict"]["post"]["requestBody"]["content"]
    images = content["multipart/form-data"]["schema"]["properties"]["images"]
    assert images["maxItems"] == 3
    assert default_document() != app.openapi()


def test_the_page_names_every_path(document: dict[str, Any]) -> None:
    page = (DOCS / "operate" / "service.md").read_text(encoding="utf-8")
    ours = [path for path in document["paths"] if not path.startswith("/v2")]
    assert len(ours) > 12
    for path in ours:
        assert f"`{path}`" in page
