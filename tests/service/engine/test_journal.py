"""Records and generations: numbered, chained, read back as they were written."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from rwsstore.canonical import canonical_json, sha256_hex
from rwsstore.errors import ConfigError, StoreError, TensorError
from rwsstore.runtime import Chosen
from rwsstore_service.engine.journal import Journal
from rwsstore_service.engine.records import Actor
from tests.service.engine.journal_notes import (
    START,
    Clock,
    change,
    digest,
    file_of,
    store_change,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with Journal(tmp_path / "state", clock=clock) as journal:
        yield journal


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert journal.latest("bundled") is None
    assert journal.generation("bundled", 1) is None
    assert journal.history("bundled", limit=10) == ()
    assert journal.records(limit=10) == ()
    assert journal.refers_to([digest("fog")]) is None
    assert journal.verify() == ()


def test_a_record_says_what_the_note_said(journal: Journal) -> None:
    note = change("fog", "snow", alpha=0.25, parts=("fog", "snow_a", "snow_b"))
    entry = journal.append(replace(note, action="rollback", rolled_back_to=1))
    assert (entry.seq, entry.generation, entry.at) == (1, 1, START)
    assert (entry.action, entry.rolled_back_to) == ("rollback", 1)
    for name in (
        "actor", "subject", "patches", "resolved", "clean_weights", "state_digest",
        "previous_digest",
    ):  # fmt: skip
        assert getattr(entry, name) == getattr(note, name)
    assert journal.latest("bundled") == entry
    assert journal.generation("bundled", 1) == entry
    assert journal.records(limit=1) == (entry,)


def test_the_chain_is_what_the_description_says(journal: Journal) -> None:
    first, second = journal.append(change("fog")), journal.append(store_change("snow"))
    body = {
        "seq": 2,
        "at": "2026-01-02T03:04:05.000006+00:00",
        "actor": {"name": "ops", "address": "10.0.0.7", "request_id": "r"},
        "action": "publish",
        "subject": "snow@1",
        "generation": None,
        "patches": [["snow", digest("snow"), 1.0]],
        "resolved": [],
        "clean_weights": digest("clean"),
        "state_digest": "",
        "previous_digest": "",
        "rolled_back_to": None,
    }
    assert second.chain == sha256_hex((first.chain + canonical_json(body)).encode())


def test_the_log_is_a_witness_of_every_record(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="rwsstore_service"):
        entry = journal.append(change("fog"))
    (line,) = caplog.records
    assert vars(line)["seq"] == entry.seq
    assert vars(line)["chain"] == entry.chain


def test_each_subject_has_its_own_generations(journal: Journal) -> None:
    subjects = ("bundled", "other", "bundled", None, "bundled", "other")
    notes = [change("fog", subject=s) if s else store_change("fog") for s in subjects]
    entries = [journal.append(note) for note in notes]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry.generation for entry in entries] == [1, 1, 2, None, 3, 2]
    assert journal.latest("bundled") == entries[4]
    assert journal.latest("other") == entries[5]
    assert journal.generation("bundled", 2) == entries[2]
    assert journal.latest("fog@1") is None


def test_generations_are_listed_newest_first_in_pages(journal: Journal) -> None:
    entries = [journal.append(change("fog")) for _ in range(5)]
    journal.append(change("fog", subject="other"))
    journal.append(store_change("fog"))
    newest_first = tuple(reversed(entries))
    assert journal.history("bundled", limit=100) == newest_first
    assert journal.history("bundled", limit=2) == newest_first[:2]
    assert journal.history("bundled", limit=2, before=4) == newest_first[2:4]
    assert journal.history("bundled", limit=2, before=1) == ()


def test_the_audit_log_lists_everything(journal: Journal) -> None:
    notes = (change("fog"), store_change("fog"), change("fog", subject="other"))
    entries = tuple(journal.append(note) for note in notes)
    assert journal.records(limit=100) == entries[::-1]
    assert journal.records(limit=1, before=3) == (entries[1],)
    assert journal.records(limit=10, before=1) == ()


@pytest.mark.parametrize("number", [0, -1, 2, 2**63 - 1, 2**63, 2**200, -(2**200)])
def test_a_generation_that_is_not_there(journal: Journal, number: int) -> None:
    entry = journal.append(change("fog"))
    assert journal.generation("bundled", number) is None
    assert journal.history("bundled", limit=2**200, before=number) == (
        (entry,) if number > 1 else ()
    )
    assert journal.records(limit=5, before=number) == ((entry,) if number > 1 else ())


@pytest.mark.parametrize("limit", [0, -1])
def test_a_listing_of_none_is_refused(journal: Journal, limit: int) -> None:
    journal.append(change("fog"))
    with pytest.raises(ConfigError, match="limit is"):
        journal.history("bundled", limit=limit)
    with pytest.raises(ConfigError, match="limit is"):
        journal.records(limit=limit)


def test_which_generation_refers_to_a_patch(journal: Journal) -> None:
    journal.append(change("fog", "snow"))
    journal.append(change("snow", subject="other"))
    journal.append(change("night", parts=("frost", "jpeg")))
    journal.append(store_change("motion_blur"))
    for names, generation in (
        (["fog"], 1), (["snow"], 1), (["night"], 2), (["jpeg"], 2), (["fog", "jpeg", "fog"], 2),
        (["motion_blur"], None), (["unknown"], None), ([], None), (["unknown", "fog"], 1),
    ):  # fmt: skip
        assert journal.refers_to(digest(name) for name in names) == generation
    journal.append(change("fog"))
    assert journal.refers_to([digest("fog")]) == 3


def test_times_are_utc_and_never_go_back(journal: Journal, clock: Clock) -> None:
    clock.now = START.astimezone(timezone(timedelta(hours=5)))
    first = journal.append(change())
    clock.advance(hours=-3)
    second = journal.append(change())
    clock.advance(hours=3, microseconds=1)
    third = journal.append(change())
    assert [e.at for e in (first, second, third)] == [
        START,
        START,
        START + timedelta(microseconds=1),
    ]
    assert first.at.utcoffset() == timedelta(0)


def test_times_do_not_go_back_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    with Journal(tmp_path, clock=clock) as journal:
        journal.append(change())
    clock.advance(days=-30)
    with Journal(tmp_path, clock=clock) as journal:
        assert journal.append(change()).at == START


def test_the_system_clock_is_the_default(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        before = datetime.now().astimezone()
        at = journal.append(change()).at
        assert before <= at <= datetime.now().astimezone()


def test_a_journal_goes_on_where_it_was_closed(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        entries = [journal.append(change("fog", alpha=alpha)) for alpha in (0.1, 0.2)]
    with Journal(tmp_path) as journal:
        assert journal.records(limit=10) == tuple(reversed(entries))
        entries.append(journal.append(change("fog", alpha=0.3)))
        assert (entries[2].seq, entries[2].generation) == (3, 3)
        assert journal.verify() == ()


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), -float("inf")])
def test_a_strength_that_is_no_number_is_refused(journal: Journal, alpha: float) -> None:
    with pytest.raises(TensorError, match="not a finite number"):
        journal.append(change("fog", alpha=alpha))
    assert journal.records(limit=1) == ()
    assert journal.append(change("fog")).seq == 1


def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "state"
    with Journal(folder) as journal:
        journal.append(change())
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert file_of(folder) in folder.iterdir()


def test_a_second_service_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.append(change())
        with pytest.raises(StoreError, match=r"in use by another service.*RWS_STATE"):
            Journal(tmp_path)
        assert journal.append(change()).seq == 2
    with Journal(tmp_path) as journal:
        assert journal.append(change()).seq == 3


def test_closing_twice_is_once_and_then_it_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.close()
    with Journal(tmp_path):
        journal.close()  # not the other one's lock
        with pytest.raises(StoreError, match="in use"):
            Journal(tmp_path)
    for use in (
        lambda: journal.append(change()),
        lambda: journal.records(limit=1),
        lambda: journal.recall("ops", "key"),
        journal.verify,
    ):
        with pytest.raises(StoreError, match="closed"):
            use()


# Text of every kind, the halves of pairs that UTF-8 has no bytes for among it.
TEXT = st.text(max_size=20) | st.text(alphabet="\0'\"\\;%_\n\udc80\udcff\u202eé", max_size=5)
ALPHA = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=50)  # each syncs a disk
@given(data=st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    rows = st.lists(st.tuples(TEXT, TEXT, ALPHA), max_size=3)
    with TemporaryDirectory() as folder:
        notes = [
            replace(
                change(),
                actor=Actor(data.draw(TEXT), data.draw(TEXT), data.draw(TEXT)),
                subject=data.draw(TEXT),
                patches=tuple(Chosen(*row) for row in data.draw(rows)),
                resolved=tuple(data.draw(rows)),
                state_digest=data.draw(TEXT.filter(bool)),  # none is of a change to the store
            )
            for _ in range(data.draw(st.integers(1, 3)))
        ]
        with Journal(Path(folder)) as journal:
            written = [journal.append(note) for note in notes]
        with Journal(Path(folder)) as journal:
            assert journal.verify() == ()
            for note, entry in zip(notes, written, strict=True):
                assert entry.generation is not None
                found = journal.generation(note.subject, entry.generation)
                assert found == entry
                assert found.actor == note.actor
                assert bits(found.patches) == bits(note.patches)
                assert found.resolved == note.resolved
                assert found.state_digest == note.state_digest
                named = [chosen.digest for chosen in note.patches]
                assert (journal.refers_to(named) is None) == (not named)


def bits(patches: tuple[Chosen, ...]) -> list[tuple[str, str, str]]:
    """With strengths to the bit: 0.0 and -0.0 are equal, and not the same."""
    return [(chosen.patch, chosen.digest, chosen.alpha.hex()) for chosen in patches]


def test_text_is_never_sql(journal: Journal) -> None:
    name = "x'); DROP TABLE records; --"
    journal.append(change(name, subject=name))
    latest = journal.latest(name)
    assert latest is not None
    assert latest.patches[0].patch == name
    assert journal.latest("x' OR '1'='1") is None
    assert journal.verify() == ()
