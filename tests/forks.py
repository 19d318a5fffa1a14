"""`rws` as a process of its own, forked from one that has torch loaded already.

A fresh interpreter spends two seconds on imports before it does what a test is about. Here one
process a session imports them, starts no thread, and forks itself for each command: a real process
with an environment, folder and files of its own, to be signalled and killed.

    python -m tests.forks SOCKET      the process that forks, until its standard input ends
    python -S -E tests/forks.py ...   `rws ...` in a shell; $RWS_FORKS is the socket

So that the second starts quickly, this module imports next to nothing.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

_LOADED = (
    "torch._dynamo",  # the first step of a training imports it
    "rwsstore.making",
    "rwsstore_service.app",
    "rwsstore_service.wire.server",
)
_REPOSITORY = Path(__file__).parents[1]
_FILES = 3


class Fork:
    """One `rws` that runs.

    Args:
        place: socket of the process that forks.
        arguments: behind `rws`.
        environment, folder: in which it runs.
        files: descriptors of its standard input, output and error.

    Attributes:
        pid: of the process.
    """

    def __init__(
        self,
        place: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        files: Sequence[int],
    ) -> None:
        self._answers = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers.connect(place)
        asked = json.dumps([list(arguments), dict(environment), str(folder)]).encode()
        socket.send_fds(self._answers, [asked], list(files))
        self.pid = int(self._answers.recv(64))
        self._code: int | None = None

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, below 0 after a signal; None if it still runs after so long."""
        if self._code is None:
            ready, _, _ = select.select([self._answers], [], [], seconds)
            if not ready:
                return None
            self._code = int(self._answers.recv(64))
            self._answers.close()
        return self._code

    def signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.wait(0) is None:
            os.kill(self.pid, number)


class Server:
    """The process that forks.

    Attributes:
        place: of its socket.
    """

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self.place = f"{self._folder.name}/forks"
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", self.place],
            cwd=_REPOSITORY,
            env={**os.environ, **one},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self) -> None:
        """End it, once all has ended that it forked."""
        self._process.communicate(b"end")
        self._folder.cleanup()


@cache
def server() -> Server:
    """This session's, started when it is first asked for; conftest.py ends it."""
    return Server()


def _serve(place: str) -> None:
    for module in _LOADED:
        __import__(module)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(place)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                break
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _keep(connection)
            _take_in(os.WNOHANG)
    if not sys.stdin.buffer.read(1):  # whoever started it was killed
        os.killpg(0, signal.SIGKILL)
    _take_in(0)


def _take_in(options: int) -> None:
    """Take in what has ended, or with 0 wait for all; the processor time they took comes along."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _keep(connection: socket.socket) -> NoReturn:
    """Fork the command, and tell its process and how it ended."""
    asked, files, _, _ = socket.recv_fds(connection, 1 << 20, _FILES)
    pid = os.fork()
    if pid == 0:
        connection.close()
        arguments, environment, folder = json.loads(asked)
        _command(arguments, environment, folder, files)
    for file in files:
        os.close(file)
    connection.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # nobody waits for it any more
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _command(
    arguments: list[str], environment: dict[str, str], folder: str, files: list[int]
) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["rws", *arguments]
    import traceback

    from rwsstore.cli.main import run

    code: object = 1
    try:
        run()
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _in_a_shell(arguments: list[str]) -> int:
    fork = Fork(os.environ["RWS_FORKS"], arguments, os.environ, Path.cwd(), range(_FILES))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: fork.signal(number))
    code = fork.wait()
    assert code is not None
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if __spec__ is not None:
        _serve(sys.argv[1])
    else:
        sys.exit(_in_a_shell(sys.argv[1:]))
