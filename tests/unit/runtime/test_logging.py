"""Logs on standard error: machines get one JSON object a line, people get columns; nobody gets a secret."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

PASSWORD = "hunter2"


def log(program: str, **options: str) -> str:
    """What a process that runs `program` writes to standard error; standard output stays empty."""
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    setup = (
        "import logging, structlog\nfrom ibstream.runtime.logging import configure_logging\n"
        f"early = structlog.get_logger('early')\nconfigure_logging('feed', {given})\nlog = structlog.get_logger('x')\n"
    )
    done = subprocess.run([sys.executable, "-c", setup + program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def lines(program: str, **options: str) -> list[dict[str, Any]]:
    """The same as JSON objects."""
    return [json.loads(line) for line in log(program, **{"format": "json", **options}).splitlines()]


def test_a_json_line_says_who_when_how_bad_and_what() -> None:
    """Service, level, UTC time and event in every record, with the fields given."""
    (record,) = lines("log.warning('feed.stalled', symbol='AAPL', silent_s=3.5)")
    at = datetime.fromisoformat(record.pop("timestamp"))
    assert at.utcoffset() == timedelta(0)
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60  # noqa: TID251 - compares with another process
    assert record == {
        "event": "feed.stalled",
        "level": "warning",
        "service": "feed",
        "symbol": "AAPL",
        "silent_s": 3.5,
    }


def test_loggers_made_before_the_configuration_follow_it() -> None:
    """Modules make theirs at import."""
    (record,) = lines("early.info('late')")
    assert record["service"] == "feed"


def test_libraries_log_the_same_way() -> None:
    """A record of the standard library becomes a line with the same fields."""
    (record,) = lines("logging.getLogger('redis').error('lost %s', 'host')")
    assert (record["event"], record["level"], record["service"]) == ("lost host", "error", "feed")
    assert "timestamp" in record


@pytest.mark.parametrize("call", ["log.exception('e')", "logging.getLogger('lib').exception('e')"])
def test_a_traceback_is_one_field(call: str) -> None:
    """So that one event stays one line."""
    (record,) = lines(f"try:\n    1 / 0\nexcept ZeroDivisionError:\n    {call}")
    assert record["level"] == "error"
    assert "ZeroDivisionError" in record["exception"]


def test_the_level_is_a_threshold() -> None:
    """For our own records and those of libraries."""
    program = "log.info('a'); log.warning('b'); logging.getLogger('l').info('c'); logging.getLogger('l').error('d')"
    assert [record["event"] for record in lines(program, level="warning")] == ["b", "d"]
    assert [record["event"] for record in lines("log.debug('a'); log.info('b')", level="debug")] == ["a", "b"]


def test_what_json_does_not_know_is_still_written() -> None:
    """A record is never lost because of a value in it."""
    (record,) = lines("import pathlib, decimal\nlog.info('e', path=pathlib.Path('/x'), price=decimal.Decimal('1.5'))")
    assert "/x" in record["path"]
    assert "1.5" in record["price"]


def test_chatty_libraries_are_kept_quiet() -> None:
    """What ib_async says at error level is told by our own records."""
    assert lines("logging.getLogger('ib_async.wrapper').error('Error 2104'); log.info('e')")[0]["event"] == "e"


def test_columns_for_people() -> None:
    """No JSON, no colours where it is no terminal."""
    said = log("log.info('feed.ready', symbols=100); logging.getLogger('lib').warning('hm')", format="console")
    assert "feed.ready" in said
    assert "symbols=100" in said
    assert "hm" in said
    assert "{" not in said
    assert "\x1b[" not in said


def test_auto_is_json_where_it_is_no_terminal() -> None:
    """As in a container."""
    assert json.loads(log("log.info('e')", format="auto"))["event"] == "e"


def test_settings_in_a_record_show_no_secret() -> None:
    """Even when somebody logs all of them."""
    program = (
        "import os\n"
        f"os.environ['SA_REDIS__URL'] = 'redis://:{PASSWORD}@host'\n"
        "from ibstream.runtime.settings import load_settings\n"
        "settings = load_settings()\n"
        f"assert '{PASSWORD}' in settings.redis.bus_url\n"
        "log.info('e', settings=settings, redis=settings.redis, url=settings.redis.url)\n"
        "logging.getLogger('lib').error('%s %r', settings, settings.redis)\n"
    )
    for format in ("json", "console"):  # noqa: A001 - the parameter's name
        said = log(program, format=format)
        assert "embedded_port" in said
        assert PASSWORD not in said
