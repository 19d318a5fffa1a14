"""Processes that a benchmark starts."""

import os
import socket
import sys
from pathlib import Path

import pytest
from serve.processes import BenchmarkError, Child, free_port

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

# A child that ignores SIGTERM, and a grandchild that has left its group and ignores it too.
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(); input()"
deep = subprocess.Popen([sys.executable, "-c", code], start_new_session=True,
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
deep.stdout.readline()
print(deep.pid, flush=True)
signal.pause()
"""


def start(code: str, log: Path) -> Child:
    return Child([sys.executable, "-c", code], environment=os.environ, log=log)


def state(pid: int) -> str:
    """One letter, as /proc tells it; Z and nothing are both gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]


def test_one_that_ends_is_an_error_with_its_log(tmp_path: Path) -> None:
    child = start("print('no model'); exit(3)", tmp_path / "log")
    with child, pytest.raises(BenchmarkError, match=r"(?s)ended with 3.*no model"):
        child.wait_until(lambda: False)


def test_one_that_takes_too_long_is_an_error(tmp_path: Path) -> None:
    child = start("import signal; signal.pause()", tmp_path / "log")
    with child, pytest.raises(BenchmarkError, match="was not ready in 0 s"):
        child.wait_until(lambda: False, seconds=0)


@needs_proc
def test_pausing_and_ending_reach_what_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start(STUBBORN, log) as child:
        child.wait_until(lambda: log.read_text().endswith("\n"))
        deep = int(log.read_text())
        child.pause()
        child.wait_until(lambda: state(deep) == "T" and state(child.process.pid) == "T")
        child.resume()
        child.wait_until(lambda: "T" not in (state(deep), state(child.process.pid)))
        child.stop(seconds=0.05)
        assert child.process.returncode is not None
        assert wait_gone(deep)


def wait_gone(pid: int) -> bool:
    """The kernel takes a moment from the signal to the end."""
    return any(state(pid) in ("", "Z") for _ in range(1_000_000))


def test_a_block_that_fails_ends_the_process(tmp_path: Path) -> None:
    child = start("import signal; signal.pause()", tmp_path / "log")
    with pytest.raises(RuntimeError, match="in the block"), child:
        raise RuntimeError("in the block")
    assert child.process.returncode is not None


def test_a_paused_process_ends_too(tmp_path: Path) -> None:
    child = start("import signal; signal.pause()", tmp_path / "log")
    with child:
        child.pause()
    assert child.process.returncode is not None


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
