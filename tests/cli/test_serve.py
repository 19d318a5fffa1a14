from collections.abc import Callable

import pytest

from rwsstore.cli.main import main
from rwsstore_service.settings import Settings
from rwsstore_service.wire import logs, server


def served_by(monkeypatch: pytest.MonkeyPatch, run: Callable[..., None]) -> None:
    """Let something else serve, and the logging of this process be."""
    monkeypatch.setattr(server, "run", run)
    monkeypatch.setattr(logs, "configure_logging", lambda _settings: None)


@pytest.mark.parametrize(
    ("options", "variable", "expected"),
    [((), "", None), ((), "2", 2), (("--threads", "3"), "", 3), (("--threads", "3"), "2", 3)],
)
def test_the_option_for_threads_comes_before_the_variable(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], variable: str, expected: int | None
) -> None:
    served: list[int | None] = []

    def run(_app: object, settings: Settings, **_told: object) -> None:
        served.append(settings.threads)

    served_by(monkeypatch, run)
    monkeypatch.setenv("RWS_THREADS", variable)
    assert main([*options, "serve"]) == 0
    assert served == [expected]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://[fd00::1]:8000"])
def test_it_says_where_it_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    def run(
        _app: object, _settings: Settings, *, announce: Callable[[str], None], **_: object
    ) -> None:
        announce(f"listening on {url}")

    served_by(monkeypatch, run)
    assert main(["serve"]) == 0
    said = capsys.readouterr().err
    assert f"rwsstore is listening on {url}\n" in said
    assert f"{url}/docs\n" in said
