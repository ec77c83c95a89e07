"""Fixtures for tests of every room: a real Redis, servers to break, and an environment without the developer's settings."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import redis_for_tests

from ibstream.runtime import settings

TOLD = "told"
"""The name under which a report carries what its test tells."""

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let recordings that are not in the repository be held against the stand-in Gateway."""
    parser.addoption("--recordings", metavar="DIRECTORY", help="recorded conversations to try instead of our own")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which Redis the run uses, and why."""
    return None if config.option.collectonly else f"redis: {redis_for_tests.choose()}"


def pytest_xdist_auto_num_workers() -> int | None:
    """One process at a time on a server that was named: they would empty it under each other. Else two per core.

    Most tests wait for the other side most of the time; what measures seconds runs in one group, in turn.
    """
    return 1 if os.environ.get(redis_for_tests.URL_VARIABLE) else 2 * (os.cpu_count() or 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests had to tell, whichever process they ran in."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        told = [text for name, text in getattr(report, "user_properties", ()) if name == TOLD]
        if told and getattr(report, "when", "") == "call":
            terminalreporter.write_sep("-", report.nodeid)
            terminalreporter.write_line("\n".join(told))


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says something for people, such as figures; it is shown at the end of the run."""
    return lambda text: record_property(TOLD, text)


@pytest.fixture(scope="session", autouse=True)
def _only_our_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the developer's SA_* variables or secrets; the settings file is the repository's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(settings.PREFIX) and name != redis_for_tests.URL_VARIABLE:
                patch.delenv(name)
        patch.setenv(settings.CONFIG_VARIABLE, str(REPOSITORY / "config" / "settings.yaml"))
        patch.setattr(settings, "SECRETS_DIRECTORY", tmp_path_factory.mktemp("no") / "secrets")
        yield


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real server, shared by all tests of the run. Take `redis_url` unless you clean up yourself."""
    with redis_for_tests.server_url() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a real server without any keys."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def private_server(tmp_path: Path) -> Iterator[Callable[[], redis_for_tests.KillableServer]]:
    """Makes embedded servers of the test's own, not started yet: `async with private_server() as server`.

    They may be killed, frozen, stopped and started again on the same port; what is left of them is removed.
    """
    made: list[redis_for_tests.KillableServer] = []
    numbers = itertools.count()

    def make() -> redis_for_tests.KillableServer:
        made.append(redis_for_tests.KillableServer(tmp_path / f"redis-{next(numbers)}"))
        return made[-1]

    yield make
    for server in made:
        server.destroy()
