"""Where the user's store lies unless told otherwise."""

__all__ = ["STORE_VARIABLE", "default_store_path"]

import os
from pathlib import Path

import platformdirs

STORE_VARIABLE = "RWS_STORE"
"""The environment variable that names another folder."""


def default_store_path() -> Path:
    """The folder in `RWS_STORE`, else `rwsstore/store` in the platform's data directory.

    Nothing is created. The variable is read each time.
    """
    told = os.environ.get(STORE_VARIABLE, "")
    if told:
        return Path(told).expanduser().absolute()
    return platformdirs.user_data_path("rwsstore", appauthor=False) / "store"
