"""Writes what docs/ holds of the service to standard output; tests compare it with the code.

`python -m rwsstore_service.describe openapi` is docs/openapi.json, `... api` is
docs/operate/api.md, `... settings` is docs/operate/settings.md.
"""

import json
import sys
from typing import Any

from rwsstore_service.api.description.reference import reference, settings_page
from rwsstore_service.app import create_app
from rwsstore_service.settings import Settings


def default_document() -> dict[str, Any]:
    """The OpenAPI document of a service on the defaults, whatever the environment says."""
    return create_app(Settings.model_construct()).openapi()


PAGES = {
    "openapi": lambda: json.dumps(default_document(), indent=2, ensure_ascii=False) + "\n",
    "api": lambda: reference(default_document()),
    "settings": settings_page,
}
"""What each page says, by its name."""


if __name__ == "__main__":
    if sys.argv[1:] not in [[page] for page in PAGES]:
        sys.exit(f"usage: python -m rwsstore_service.describe {'|'.join(PAGES)}")
    sys.stdout.write(PAGES[sys.argv[1]]())
