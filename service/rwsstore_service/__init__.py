"""The HTTP service: patch a live model over REST, and predict.

Importing this is cheap; `create_app` and `Settings` load what they need when they are first used.
"""

__all__ = ["Settings", "create_app"]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rwsstore_service.app import create_app
    from rwsstore_service.settings import Settings


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from rwsstore_service.app import create_app

        return create_app
    if name == "Settings":
        from rwsstore_service.settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
