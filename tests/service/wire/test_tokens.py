import hmac
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from rwsstore.errors import ConfigError
from rwsstore_service.settings import Settings
from rwsstore_service.wire.gate import Access, Need, Principal
from rwsstore_service.wire.problems import ProblemError
from rwsstore_service.wire.tokens import provide_tokens, read_tokens
from tests.service.wire.asking import ADMIN, READER, settings_of

ALICE = Principal("alice", "admin")
BOB = Principal("bob", "predict")


def refused(call: Callable[[], object]) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        (f"Bearer {ADMIN}", ALICE),
        (f"bEARER {ADMIN}", ALICE),
        (f"Bearer  {ADMIN}", ALICE),
        (f"Bearer {READER}", BOB),
    ],
)
def test_identifies(header: str | None, expected: Principal | None) -> None:
    assert read_tokens(settings_of()).identify(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "bearer  x",
        f"Bearer {ADMIN} ",
        f" Bearer {ADMIN}",
        f"Bearer\t{ADMIN}",
        f"Bearer{ADMIN}",
        f"Bearer {ADMIN}x",
        f"Bearer {ADMIN[:-1]}",
        f"Bearer {ADMIN.upper()}",
        f"Bearer {ADMIN}\x00",
        f"Bearer {ADMIN}\n",
        f"Bearer {ADMIN}, Bearer {ADMIN}",
        f"Bearer {ADMIN},{READER}",
        f"Bearer alice:{ADMIN}",
        f"Basic {ADMIN}",
        ADMIN,
        "Bearer \x00",
        "Bearer \xff\xfe" + "é" * 20,
        "Bearer " + "x" * 2**20,
        "Bearer" + " " * 2**20 + ADMIN,
        "x" * 2**20,
    ],
)
def test_malformed_and_wrong_are_the_same_401(header: str) -> None:
    tokens = read_tokens(settings_of())
    error = refused(lambda: tokens.identify(header))
    wrong = refused(lambda: tokens.identify("Bearer wrong-but-well-formed-token"))
    assert error.kind.status == 401
    assert error.headers == {"WWW-Authenticate": 'Bearer realm="rwsstore"'}
    assert (error.detail, error.extra) == (wrong.detail, wrong.extra)


@given(st.text(max_size=600))
def test_any_text_is_a_401_or_the_token(text: str) -> None:
    tokens = read_tokens(settings_of())
    assert refused(lambda: tokens.identify(text)).kind.name == "unauthorized"


def test_a_lone_surrogate_is_a_401() -> None:
    tokens = read_tokens(settings_of())
    assert refused(lambda: tokens.identify("Bearer \udcff" + "x" * 20)).kind.status == 401


@pytest.mark.parametrize("token", [ADMIN, "wrong-but-well-formed-token"])
def test_every_entry_is_compared(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    more = ",".join(f"n{n}:token-number-{n:012}" for n in range(5))
    tokens = read_tokens(settings_of(predict_tokens=more))
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", compare)
    try:
        tokens.identify(f"Bearer {token}")
    except ProblemError:
        assert token != ADMIN
    assert len(compared) == 6
    assert len({known for known, _ in compared}) == 6
    assert {len(given) for _, given in compared} == {32}


def test_only_hashes_are_kept_and_under_another_key_in_each_process() -> None:
    settings = settings_of()
    tokens, again = read_tokens(settings), read_tokens(settings)
    grown, _ = provide_tokens(Settings.of(), make=lambda: "a-third-token-0123456789")
    for kept in (tokens, Access(settings, tokens), grown):
        seen = repr(kept) + repr(vars(kept)) + pickle.dumps(kept).decode("latin-1")
        for token in (ADMIN, READER, "a-third-token-0123456789"):
            assert token not in seen
    assert pickle.dumps(tokens) != pickle.dumps(again)
    assert pickle.loads(pickle.dumps(tokens)).identify(f"Bearer {ADMIN}") == ALICE


def test_files_and_variables_are_read_together(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    lines = [
        "\ufeff# größere Geräte",
        "\n  carol:the-third-token-0123  ",
        "dave:x:y:z-0123456789012",
    ]
    path.write_bytes("\r\n".join(lines).encode())
    path.chmod(0o444)  # as Docker mounts its secrets
    tokens = read_tokens(settings_of(admin_tokens_file=path))
    assert tokens.identify("Bearer the-third-token-0123") == Principal("carol", "admin")
    assert tokens.identify("Bearer x:y:z-0123456789012") == Principal("dave", "admin")
    assert tokens.identify(f"Bearer {ADMIN}") == ALICE


def test_spaces_around_entries_do_not_matter() -> None:
    tokens = read_tokens(settings_of(admin_tokens=f" alice:{ADMIN} , eve:{'e' * 16}\n"))
    assert tokens.identify(f"Bearer {'e' * 16}") == Principal("eve", "admin")


@pytest.mark.parametrize("length", [1, 512])
def test_the_longest_and_the_shortest_token(length: int) -> None:
    tokens = read_tokens(settings_of(admin_tokens="a:" + "~" * length))
    assert tokens.identify("Bearer " + "~" * length) == Principal("a", "admin")


def test_short_tokens_are_named_not_refused() -> None:
    tokens = read_tokens(settings_of(admin_tokens=f"alice:{ADMIN},eve:{'e' * 15}"))
    assert tokens.guessable == ("eve",)
    made, _ = provide_tokens(Settings.of(predict_tokens=f"eve:{'e' * 15}"), make=lambda: "x")
    assert made.guessable == ("eve", "local")


SECRET = "hush-hush-hush-hush-hush"


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f":{SECRET}",
        f"a b:{SECRET}",
        f"{'n' * 65}:{SECRET}",
        f"ä:{SECRET}",
        f"../x:{SECRET}",
        "a:",
        "a:" + SECRET * 22,
        f"a:{SECRET} {SECRET}",
        f"a:{SECRET}é",
        f"a:{SECRET}\x00",
        f"a:{SECRET},",
        f",a:{SECRET}",
        f"a:{SECRET},,b:{SECRET}2",
        f"a:{SECRET},a:{SECRET}2",
        f"a:{SECRET},b:{SECRET}",
        f"bob:{SECRET}",
        f"carol:{READER}",
        " ",
        ",",
    ],
)
def test_refused_entries_are_named_without_their_token(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^RWS_(ADMIN|PREDICT)_TOKENS, entry \d") as caught:
        read_tokens(settings_of(admin_tokens=value))
    assert "hush" not in str(caught.value)
    assert READER not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no name:token"),
        (b"# nothing yet\n\n", "holds no name:token"),
        (b"a:hush-hush-hush-hush\nhush-hush-hush-hush2\n", "line 2"),
        (b"a:hush-hush-hush-hush,b:hush-hush-hush-hush2\n", "line 1"),
        (b"a:hush-hush-hush-hush\xff\n", "not UTF-8"),
        (b"a:" + b"hush" * 2**14, "65538 bytes; at most 65536"),
    ],
    ids=["empty", "comments", "no-name", "comma", "latin-1", "large"],
)
def test_refused_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^RWS_PREDICT_TOKENS_FILE.*{message}") as caught:
        read_tokens(Settings.of(predict_tokens_file=path))
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^RWS_ADMIN_TOKENS_FILE: .*gone"):
        read_tokens(Settings.of(admin_tokens_file=tmp_path / "gone"))


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RWS_ADMIN_TOKENS", f"alice:{ADMIN}")
    assert read_tokens(Settings.of()).identify(f"Bearer {ADMIN}") == ALICE


DECISIONS = [
    # need, principal, answer where readers have tokens, answer where reading is open
    ("admin", None, 401, 401),
    ("admin", BOB, 403, 403),
    ("admin", ALICE, 200, 200),
    ("reader", None, 401, 200),
    ("reader", BOB, 200, 200),
    ("reader", ALICE, 200, 200),
    ("token", None, 401, 401),
    ("token", BOB, 200, 200),
    ("nobody", None, 200, 200),
    ("nobody", ALICE, 200, 200),
]


@pytest.mark.parametrize(("need", "principal", "closed", "opened"), DECISIONS)
def test_decisions(need: Need, principal: Principal | None, closed: int, opened: int) -> None:
    for settings, expected in ((settings_of(), closed), (settings_of(predict_tokens=""), opened)):
        access = Access(settings, read_tokens(settings))
        if expected == 200:
            access.check(need, principal)
            continue
        error = refused(lambda access=access: access.check(need, principal))  # type: ignore[misc]
        assert error.kind.status == expected
        assert ("WWW-Authenticate" in error.headers) == (expected == 401)
