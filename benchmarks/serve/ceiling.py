"""The ceiling: what the same model computes in a process that does nothing else."""

__all__ = ["Ceiling", "ceiling"]

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from serve.processes import Child, running
from serve.server import environment
from serve.settings import Settings
from serve.work import Work


class Ceiling:
    """A process that measures when it is asked to, and is paused else.

    Args:
        child: with its input and output as pipes.
    """

    def __init__(self, child: Child) -> None:
        self._child = child

    def measure(self, seconds: float) -> Mapping[str, float]:
        """Say how many images a second each way computes.

        Args:
            seconds: for both together.

        Raises:
            BenchmarkError: the process ended.
        """
        question, answer = self._child.process.stdin, self._child.process.stdout
        assert question is not None
        assert answer is not None
        self._child.resume()
        try:
            question.write(f"{seconds}\n".encode())
            question.flush()
            line = answer.readline()
        except BrokenPipeError:
            line = b""
        finally:
            self._child.pause()
        if not line:
            raise self._child.failure("(the ceiling) ended")
        found: Mapping[str, float] = json.loads(line)
        return found


@contextmanager
def ceiling(work: Work, settings: Settings, *, compute: str) -> Iterator[Ceiling]:
    """Start the process, with as many threads as a service gets."""
    child = Child(
        [sys.executable, "-m", "serve.computing", str(work.model), str(work.store),
         work.patches[0], compute, str(settings.threads)],
        environment=environment(settings.threads),
        log=work.folder / "ceiling.log",
        piped=True,
    )  # fmt: skip
    with running(child):
        process = Ceiling(child)
        process.measure(0.0)  # loaded, its batch sizes chosen, and paused from here on
        yield process
