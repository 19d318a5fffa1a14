"""schemathesis against the exported OpenAPI document and a real service: a third party's reading.

It makes requests that the document allows and some that it does not, and compares each answer with
the document: status, kind of content, headers, schema; and no 5xx, whatever was sent.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error, run_checks
from schemathesis.openapi import checks

from tests.service.answering import bearer
from tests.service.box import ADMIN, Box

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
