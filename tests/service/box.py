"""A real service: `rws serve` as a process, on a free port of this machine."""

import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests import forks

ADMIN = "an-admin-token-for-tests"
PREDICT = "a-predict-token-for-tests"
_LISTENING = re.compile(r"listening on (http://\S+)")


class Box:
    """One `rws serve`, started and stopped (or killed) as an operator would.

    Args:
        folder: its store, state and log lie there, and stay there from one start to the next.
        variables: further RWS_… variables.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.url = ""
        self._variables = dict(variables or {})
        self._process: forks.Fork | None = None

    @property
    def store(self) -> Path:
        """The folder of the store."""
        return self.folder / "store"

    @property
    def state(self) -> Path:
        """The folder of the journal."""
        return self.folder / "state"

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "Box":
        """Start it and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log, Path(os.devnull).open() as nothing:
            self._process = forks.Fork(
                forks.server().place,
                ["serve", "--port", "0"],
                self._environment(),
                Path.cwd(),
                [nothing.fileno(), log.fileno(), log.fileno()],
            )
        self.url = self._wait(seen)
        return self

    def stop(self) -> int:
        """Ask it to stop and give its exit code."""
        assert self._process is not None
        self._process.signal(signal.SIGTERM)
        code = self._process.wait()
        assert code is not None
        return code

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        self._process.signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> "Box":
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.wait(0) is None:
            self.stop()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RWS_")}
        return {
            **kept,
            "RWS_STORE": str(self.store),
            "RWS_STATE": str(self.state),
            "RWS_ADMIN_TOKENS": f"operator:{ADMIN}",
            "RWS_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            **self._variables,
        }

    def _wait(self, seen: int) -> str:
        """Read the log until it says where the service listens."""
        assert self._process is not None
        while True:
            ended = self._process.wait(0) is not None
            text = self.log.read_bytes()[seen:].decode()
            found = _LISTENING.search(text)
            if found:
                return found[1]
            assert not ended, text
            self._process.wait(0.05)
