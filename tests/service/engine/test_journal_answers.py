"""Answers kept for idempotency keys."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from rwsstore.errors import RwsError
from rwsstore_service.engine.journal import Journal, Recorded
from rwsstore_service.engine.records import Actor, JournalEntry
from tests.service.engine.journal_notes import Clock, answer, change, file_of


def test_an_answer_goes_with_its_record(tmp_path: Path) -> None:
    seen: list[JournalEntry] = []

    def make(entry: JournalEntry) -> Recorded:
        seen.append(entry)
        return answer(f"generation {entry.generation}")

    with Journal(tmp_path) as journal:
        entry = journal.append(change("fog"), key="k", answer=make)
        assert seen == [entry]
        assert journal.recall("ops", "k") == answer("generation 1")
    with Journal(tmp_path) as journal:
        assert journal.recall("ops", "k") == answer("generation 1")


def test_an_answer_belongs_to_its_actor_and_key(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(change(), key="k", answer=lambda _: answer())
        assert journal.recall("ops", "K") is None
        assert journal.recall("other", "k") is None
        other = replace(change(), actor=Actor("other", "", ""))
        journal.append(other, key="k", answer=lambda _: answer("theirs"))
        assert journal.recall("ops", "k") == answer()
        assert journal.recall("other", "k") == answer("theirs")


def test_without_a_key_no_answer_is_made(tmp_path: Path) -> None:
    def make(entry: JournalEntry) -> Recorded:
        raise AssertionError

    with Journal(tmp_path) as journal:
        journal.append(change(), answer=make)
        journal.append(change(), key="k")
        assert journal.recall("ops", "k") is None


def test_an_answer_without_a_record(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.remember("ops", "k", answer("no such patch", 404))
        assert journal.recall("ops", "k") == answer("no such patch", 404)
        assert journal.records(limit=1) == ()
        journal.remember("ops", "k", answer("later"))
        assert journal.recall("ops", "k") == answer("later")


def test_an_answer_that_cannot_be_made_takes_its_record_back(tmp_path: Path) -> None:
    def make(entry: JournalEntry) -> Recorded:
        raise RwsError("no answer")

    with Journal(tmp_path) as journal:
        with pytest.raises(RwsError, match="no answer"):
            journal.append(change("fog"), key="k", answer=make)
        assert journal.records(limit=1) == ()
        assert journal.recall("ops", "k") is None
        entry = journal.append(change("snow"))
        assert (entry.seq, entry.generation) == (1, 1)
        assert journal.verify() == ()


def test_old_answers_are_gone(tmp_path: Path) -> None:
    clock = Clock()
    with Journal(tmp_path, clock=clock, answers_for=timedelta(hours=1)) as journal:
        journal.remember("ops", "first", answer("first"))
        clock.advance(minutes=30)
        journal.append(change(), key="second", answer=lambda _: answer("second"))
        clock.advance(minutes=29, seconds=59)
        assert journal.recall("ops", "first") is not None
        clock.advance(seconds=1)
        assert journal.recall("ops", "first") is None
        assert journal.recall("ops", "second") is not None
        clock.advance(minutes=30)
        assert journal.recall("ops", "second") is None
        assert len(journal.records(limit=9)) == 1


@pytest.mark.parametrize("by_time", [True, False])
def test_the_file_does_not_grow_with_old_answers(tmp_path: Path, by_time: bool) -> None:
    clock = Clock()
    sizes: list[int] = []
    most = 10_000 if by_time else 5
    for _ in range(3):
        with Journal(tmp_path, clock=clock, keep_answers=most) as journal:
            for number in range(20):
                clock.advance(hours=5 if by_time else 0)
                journal.remember("ops", f"{len(sizes)} {number}", answer("x" * 5000))
        sizes.append(file_of(tmp_path).stat().st_size)
    assert sizes[0] == sizes[1] == sizes[2]


def test_the_latest_answers_are_kept(tmp_path: Path) -> None:
    with Journal(tmp_path, keep_answers=3) as journal:
        for number in range(10):
            journal.remember("ops", str(number), answer(str(number)))
        found = [journal.recall("ops", str(number)) for number in range(10)]
    assert found == [None] * 7 + [answer("7"), answer("8"), answer("9")]


def test_all_answers_may_be_kept_for_no_time(tmp_path: Path) -> None:
    with Journal(tmp_path, keep_answers=0) as journal:
        journal.append(change(), key="k", answer=lambda _: answer())
        assert journal.recall("ops", "k") is None


ODD = st.text(max_size=20) | st.text(alphabet="\0'\"\\;\udc80é", max_size=5)


@settings(max_examples=50)  # each syncs a disk
@given(
    actor=ODD, key=ODD, body=ODD, headers=st.dictionaries(ODD, ODD, max_size=3),
    status=st.integers(100, 599),
)  # fmt: skip
def test_answers_are_read_back(
    actor: str, key: str, body: str, headers: dict[str, str], status: int
) -> None:
    recorded = Recorded("f" * 64, status, body, headers)
    with TemporaryDirectory() as folder, Journal(Path(folder)) as journal:
        journal.remember(actor, key, recorded)
        assert journal.recall(actor, key) == recorded
        assert journal.recall(actor, key + "x") is None
