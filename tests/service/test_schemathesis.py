"""schemathesis against the exported OpenAPI document and a real service: a third party's reading.

It makes requests that the document allows and many that it does not, and compares each answer with
the document: status, kind of content, headers, schema; methods that are not there, tokens and
headers that are missing; and no 5xx, whatever was sent, but
504 where little time was given.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings, strategies as st
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from tests.service.answering import SET, bearer, picture
from tests.service.box import ADMIN, Box

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
REFUSED = [
    "400",
    "401",
    "403",
    "404",
    "405",
    "409",
    "412",
    "413",
    "415",
    "421",
    "422",
    "428",
    "431",
]
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            # What a document cannot say: whether a patch is there, how strong it may be, whether
            # bytes are an image.
            "positive_data_acceptance": {"enabled": False},
            # One millisecond may be too little, which is no fault of the service.
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
            "negative_data_rejection": {"expected-statuses": REFUSED},
            "missing_required_header": {"expected-statuses": ["428"]},
        }
    }
)
for kind in ("BMP", "JPEG", "PNG", "WEBP"):
    schemathesis.openapi.media_type(
        f"image/{kind.lower()}", st.just(picture(kind=kind)) | st.binary(max_size=200)
    )
SCHEMA = schemathesis.openapi.from_path(DOCUMENT, config=CONFIG)


def examples(count: int) -> settings:
    """The same requests in every run; no database of examples is written."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of its own: what is stored and put on here is thrown away."""
    variables = {"RWS_RATE_LIMIT": "0"}
    with Box(tmp_path_factory.mktemp("schemathesis"), variables) as box:
        yield box.url


def test_the_document_is_valid() -> None:
    SCHEMA.validate()


@SCHEMA.parametrize()
@examples(5)
def test_answers_are_as_described(case: Case[Any], url: str) -> None:
    case.call_and_validate(base_url=url, headers=bearer(ADMIN))


@pytest.mark.soak
@SCHEMA.parametrize()
@examples(150)
def test_answers_are_as_described_at_length(case: Case[Any], url: str) -> None:
    case.call_and_validate(base_url=url, headers=bearer(ADMIN))


def test_it_is_whole_after_all_that(url: str) -> None:
    """The last test of this file."""
    import httpx

    answer = httpx.get(f"{url}{SET}?verify=true", headers=bearer(ADMIN), timeout=60)
    assert answer.json()["ok"]
