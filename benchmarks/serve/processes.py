"""Processes that a benchmark starts: paused while another is measured, and ended for sure."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rwsstore.errors import RwsError

_PROC = Path("/proc")
_SHOWN = 4000  # characters of a log in an error


class BenchmarkError(RwsError):
    """A service did not start, ended, or answered with errors: its figures mean nothing."""


class Child:
    """A process with all that it starts; it is ended at the end of its block.

    What it prints goes to the log; piped, its standard input and output are for lines of
    questions and answers.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        piped: bool = False,
    ) -> None:
        self.log = log
        pipe = subprocess.PIPE if piped else None
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or output,
                stderr=output,
                start_new_session=True,  # a signal to its group reaches what it starts, not us
            )

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = 120.0) -> None:
        """Wait for it to be ready.

        Raises:
            BenchmarkError: it ended, or is not ready in time; with its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise self.failure(f"ended with {self.process.returncode}")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready in {seconds:g} s")
            time.sleep(0.05)

    def failure(self, what: str) -> BenchmarkError:
        """An error that shows the end of the log."""
        text = self.log.read_text(errors="replace")[-_SHOWN:]
        return BenchmarkError(f"{self.process.args!r} {what}; it printed:\n{text}")

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let it go on for a block."""
        self.resume()
        try:
            yield
        finally:
            self.pause()

    def pause(self) -> None:
        """Take it, and all it started, off the cores."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, *, seconds: float = 15.0) -> None:
        """End it, and all it started: asked first, killed when it takes longer than that."""
        family = _family(self.process.pid)
        self.resume()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid, born in family:  # a number that another process has by now is left alone
            if _born(pid) == born and pid != self.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _signal(self, number: signal.Signals) -> None:
        for pid, _ in _family(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def free_port() -> int:
    """Find a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[tuple[int, str]]:
    """A process and its descendants, some of which may have left its group; parents first.

    Each with the time of its birth, which tells it from a later one of the same number.
    """
    born = _born(pid)
    if not born:  # ended, or a system without /proc: the group has to do
        return [(pid, "")]
    parents = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            fields = _fields(int(folder.name))
            if fields:
                parents[int(folder.name)] = (int(fields[1]), fields[19])
    found = [(pid, born)]
    for above, _ in found:
        found += [(one, start) for one, (parent, start) in parents.items() if parent == above]
    return found


def _born(pid: int) -> str:
    fields = _fields(pid)
    return fields[19] if fields else ""


def _fields(pid: int) -> list[str]:
    """What /proc/PID/stat says behind the command's name: state, parent, ..."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return text.rpartition(")")[2].split()
