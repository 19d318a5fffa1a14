"""Writes what docs/ holds of the service to standard output; tests compare it with the code.

`python -m rwsstore_service.describe openapi` is docs/openapi.json, `... settings` is
docs/operate/settings.md.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rwsstore_service.app import create_app
from rwsstore_service.settings import Settings


def default_document() -> dict[str, Any]:
    """The OpenAPI document of a service on the defaults, whatever the environment says."""
    return create_app(Settings.model_construct()).openapi()


GROUPS = {
    "Address and files": ("host", "port", "model", "model_name", "store", "state"),
    "Who may": (
        *("admin_tokens", "admin_tokens_file", "predict_tokens", "predict_tokens_file"),
        *("open_metrics", "docs", "cors_origins", "allowed_hosts", "allow_transfer"),
    ),
    "Computing": (
        *("threads", "lanes", "decode_threads", "batching", "max_batch", "batch_wait_ms"),
        *("queue_size", "compute", "resident_bytes"),
    ),
    "Limits": (
        *("max_images", "max_pixels", "max_image_bytes", "max_body_bytes", "max_patch_bytes"),
        *("max_header_bytes", "max_request_patches", "max_requests", "max_connections"),
        *("rate_limit", "rate_burst"),
    ),
    "Deadlines": (
        *("header_timeout", "body_timeout", "queue_timeout", "idle_timeout", "write_timeout"),
        "shutdown_timeout",
    ),
    "Logs and traces": ("log_format", "log_level", "tracing_endpoint"),
}
"""Every setting, in the order of the page."""

_SETTINGS_INTRO = """\
# Settings

Made by `make docs` from the class that reads them, `rwsstore_service.Settings`. Each is an
environment variable; an empty one counts as not set. `rws serve` has options for those that are
changed most (`rws serve --help`), and an option comes before its variable. A value that is not
allowed stops the start, with the variable's name.
"""


def settings_page() -> str:
    """Write the page: a table for each group."""
    return "\n".join([_SETTINGS_INTRO, *(_group(title, names) for title, names in GROUPS.items())])


def _group(title: str, names: tuple[str, ...]) -> str:
    lines = [f"## {title}\n", "| variable | default | meaning |", "| --- | --- | --- |"]
    for name in names:
        field = Settings.model_fields[name]
        lines.append(f"| `RWS_{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join([*lines, ""])


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is PydanticUndefined or value in ("", ()):
        return ""
    return f"`{value if isinstance(value, str | Path) else json.dumps(value)}`"


PAGES = {
    "openapi": lambda: json.dumps(default_document(), indent=2, ensure_ascii=False) + "\n",
    "settings": settings_page,
}
"""What each page says, by its name."""


if __name__ == "__main__":
    if sys.argv[1:] not in [[page] for page in PAGES]:
        sys.exit(f"usage: python -m rwsstore_service.describe {'|'.join(PAGES)}")
    sys.stdout.write(PAGES[sys.argv[1]]())
