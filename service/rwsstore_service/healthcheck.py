"""`python -m rwsstore_service.healthcheck`: whether the service on this machine is ready.

For a container's health check: the standard library alone, a few hundredths of a second.
"""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException

_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - never bound here


def is_ready(host: str, port: int, *, seconds: float = 4.0) -> bool:
    """Ask /readyz; True only for 200 within so many seconds for each step of the exchange."""
    connection = HTTPConnection(host, port, timeout=seconds)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Give the exit status for RWS_HOST and RWS_PORT: 0 ready, 1 not."""
    host = environment.get("RWS_HOST", "")
    port = int(environment.get("RWS_PORT") or 8000)
    return 0 if is_ready(_EVERYWHERE.get(host, host), port) else 1


if __name__ == "__main__":
    sys.exit(main())
