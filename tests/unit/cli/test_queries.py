"""What the commands that look at a running system say and understand."""

from __future__ import annotations

import pytest

from ibstream.cli.queries import as_quoted, why_silent
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.system import ConnectionState, Heartbeat
from ibstream.runtime.clock import SYSTEM_CLOCK

NOW = SYSTEM_CLOCK.now()
READY = ConnectionState.READY


def feed(state: ConnectionState, reason: str = "", wanted: int = 0) -> Heartbeat:
    """What a feed process says of itself."""
    return Heartbeat(
        service="feed", instance="0", state=state, reason=reason, provider="ibkr", version="0", pid=1, started_at=NOW,
        at=NOW, details={"wanted": wanted},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("aapl", "AAPL"),
        ("brk.b", "BRK.B"),
        ("x1000", "X1000"),
        ("si  202612 X1000", "SI 202612 x1000"),
        ("spx 20261218 5000 c x100 spxw", "SPX 20261218 5000 C x100 SPXW"),
        ("es 202612 x50x", "ES 202612 X50X"),
    ],
)
def test_what_is_typed_is_found_as_quotes_call_it(typed: str, quoted: str) -> None:
    """In any case; a multiplier is the one thing that quotes write small."""
    assert as_quoted(typed) == quoted


def test_a_future_of_a_certain_multiplier_can_be_named() -> None:
    """The name that quotes give it is found by that very name."""
    silver = Instrument(symbol="SI", security_type="FUT", exchange="COMEX", expiry="202612", multiplier="1000")
    assert as_quoted(quote_symbol(silver)) == quote_symbol(silver)


def test_silence_is_explained_by_the_feed_that_is_not_ready() -> None:
    """Wherever it stands among those that are; a standby explains nothing while others work."""
    idle, lost = feed(ConnectionState.IDLE, "standby"), feed(ConnectionState.BACKING_OFF, "refused")
    for feeds in ([feed(READY), lost, idle], [idle, lost, feed(READY)]):
        assert why_silent(feeds) == "the feed is backing off (refused)"
    assert why_silent([idle]) == "the feed is idle (standby)"


def test_the_symbols_of_all_feeds_are_counted() -> None:
    """Feeds share what is wanted: none of them knows of all of it."""
    feeds = [feed(READY, wanted=300), feed(ConnectionState.IDLE, "standby"), feed(READY, wanted=203)]
    assert why_silent(feeds).startswith("the feed is ready, with 503 symbols")
