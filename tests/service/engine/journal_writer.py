"""A process of its own that appends to a journal and is killed; test_journal_faults.py runs it.

`FOLDER COUNT SEED`: COUNT times, a child appends as fast as it can, says each number that was
acknowledged and is killed somewhere in a later append; then what it left is looked at. Says how
many records there are in the end.
"""

import os
import random
import signal
import sys
from pathlib import Path

from rwsstore_service.engine.journal import Journal
from tests.service.engine.journal_notes import answer, change

MOST_AWAITED = 4
LONGEST_SPIN = 30_000


def append_for_ever(folder: Path, said: int) -> None:
    with Journal(folder) as journal:
        (last,) = [entry.seq for entry in journal.records(limit=1)] or [0]
        while True:
            os.write(said, b"%d\n" % last)
            key = str(last + 1)
            last = journal.append(change("fog"), key=key, answer=lambda e: answer(str(e.seq))).seq


def append_and_be_killed(folder: Path, generator: random.Random) -> int:
    """Kill a child at some time after it has begun; the last number that it acknowledged."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        append_for_ever(folder, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        lines = [said.readline() for _ in range(generator.randint(1, MOST_AWAITED))]
        for _ in range(generator.randrange(LONGEST_SPIN)):
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines.extend(said)
    return int(lines[-1])


def look(folder: Path, acknowledged: int, before: int) -> int:
    """Check what a killed process left; the number of records."""
    with Journal(folder) as journal:
        entries = journal.records(limit=2 * (acknowledged - before) + 10, before=None)
        found = entries[0].seq if entries else 0
        assert acknowledged <= found <= acknowledged + 1, (acknowledged, found)
        assert journal.verify() == ()
        for entry in entries:
            assert entry.generation == entry.seq
            assert journal.recall("ops", str(entry.seq)) == answer(str(entry.seq))
        assert journal.recall("ops", str(found + 1)) is None
    return found


def main(folder: Path, count: int, seed: int) -> None:
    generator, found = random.Random(seed), 0
    for _ in range(count):
        found = look(folder, append_and_be_killed(folder, generator), found)
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
