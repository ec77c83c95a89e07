"""The demo's verdict: success only if every promised thing was seen, and otherwise the one that is missing is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from ibstream.cli.formats import as_json
from ibstream.cli.observed import Observed
from ibstream.client import EpochChanged, Gap, OrderOutcome, QuoteSnapshot, Repeated
from ibstream.contracts.orders import OrderStatus, Reason
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch
from ibstream.contracts.system import ConnectionState, Heartbeat, Mode, ModeChanged, ModeReason
from ibstream.runtime.clock import SYSTEM_CLOCK

NOW = SYSTEM_CLOCK.now()


def batch(count: int) -> QuoteBatch:
    rows = [Quote(symbol=f"S{number}", bid=1.0, ask=1.1) for number in range(count)]
    return QuoteBatch(shard=0, epoch=1, seq=1, published_at=1, rows=rows)


def mode(value: Mode, *reasons: str) -> ModeChanged:
    told = [ModeReason(source="x", code="y", text=text) for text in reasons]
    return ModeChanged(mode=value, reasons=told, since=NOW, at=NOW)


def outcome(status: OrderStatus, filled: int) -> OrderOutcome:
    return OrderOutcome("id", status, Reason.NONE, "", 0, Decimal(filled), None, ())


def success() -> Observed:
    observed = Observed(bars=78, mode=mode(Mode.NORMAL), http_health=200)
    observed.take_quotes(QuoteSnapshot([]), elapsed_s=1.0)
    observed.take_quotes(batch(120), elapsed_s=2.0)
    observed.take_outcome(outcome(OrderStatus.FILLED, 10))
    return observed


def test_the_report_is_what_was_promised() -> None:
    """These names, this nesting, these types; nothing else."""
    assert json.loads(as_json(success().report())) == {
        "quotes": 120,
        "symbols": 120,
        "gaps": 0,
        "order": {"outcome": "filled", "filled": 10},
        "bars": 78,
        "mode": "normal",
        "http_health": 200,
    }
    assert json.loads(as_json(Observed().report())) == {
        "quotes": 0,
        "symbols": 0,
        "gaps": 0,
        "order": {"outcome": "none", "filled": 0},
        "bars": 0,
        "mode": "none",
        "http_health": 0,
    }


def test_nothing_is_missing_after_success() -> None:
    """All seen: no complaint, and the first quote's time is that of the first batch with prices."""
    observed = success()
    assert observed.missing() == ""
    assert observed.first_quote_s == 2.0


SPOILED: list[tuple[Callable[[Observed], object], str]] = [
    (lambda seen: seen.quoted.clear(), "quotes for 0 symbols, not 100"),
    (lambda seen: seen.take_quotes(Gap(0, 1, 5, 6), elapsed_s=3), "1 gaps"),
    (lambda seen: seen.take_quotes(EpochChanged(0, 1, 2), elapsed_s=3), "1 gaps"),
    (lambda seen: seen.take_quotes(Repeated(0, 1, 2, 3), elapsed_s=3), "1 gaps"),
    (lambda seen: seen.take_outcome(outcome(OrderStatus.REJECTED, 0)), "the order is rejected, not filled"),
    (lambda seen: setattr(seen, "bars", 0), "no bars"),
    (lambda seen: setattr(seen, "mode", None), "the watchdog is silent"),
    (lambda seen: setattr(seen, "mode", mode(Mode.DEGRADED, "feed: gone")), "the mode is degraded (feed: gone)"),
]


@pytest.mark.parametrize(("spoil", "named"), SPOILED)
def test_each_missing_thing_is_named(spoil: Callable[[Observed], object], named: str) -> None:
    """One thing spoiled in a success makes a failure that names that thing alone."""
    observed = success()
    spoil(observed)
    assert named in observed.missing()
    assert ";" not in observed.missing()


def test_symbols_without_prices_do_not_count() -> None:
    """A row that says nothing yet is no quote of its symbol."""
    observed = Observed()
    row = Quote(symbol="AAPL", last=1.0)
    observed.take_quotes(QuoteBatch(shard=0, epoch=1, seq=1, published_at=1, rows=[row]), elapsed_s=1)
    assert (observed.quotes, len(observed.quoted), observed.first_quote_s) == (1, 0, None)


@pytest.mark.parametrize(
    ("quality", "counted"),
    [
        (Quality.LIVE, (1, 1, 2.0)),
        (Quality.DELAYED, (1, 1, 2.0)),
        (Quality.FROZEN, (1, 1, 2.0)),
        (Quality.DELAYED_FROZEN, (1, 1, 2.0)),
        (Quality.SNAPSHOT, (1, 1, None)),
        (Quality.STALE, (0, 0, None)),
    ],
)
def test_what_counts_as_a_quote(quality: Quality, counted: tuple[int, int, float | None]) -> None:
    """What a line brings, late or not. A snapshot is a quote of its symbol, but not the first that is waited for; a stale row,
    as a new feed writes for all that was known, is shown and is no quote at all."""
    row = Quote(symbol="AAPL", bid=1.0, ask=1.1, quality=quality)
    observed = Observed()
    observed.take_quotes(QuoteBatch(shard=0, epoch=1, seq=1, published_at=1, rows=[row]), elapsed_s=2.0)
    assert (observed.quotes, len(observed.quoted), observed.first_quote_s) == counted
    assert observed.latest == {"AAPL": row}


def test_what_is_waited_for_is_said() -> None:
    """Services that are not there, not ready, and the mode, each in words; nothing once all is up."""

    def beat(service: str, state: ConnectionState, reason: str = "") -> Heartbeat:
        return Heartbeat(
            service=service,
            instance="0",
            state=state,
            reason=reason,
            provider="ibkr",
            version="0",
            pid=1,
            started_at=NOW,
            at=NOW,
        )

    ready = [beat(name, ConnectionState.READY) for name in ("broker", "data")]
    observed = Observed(heartbeats=[*ready, beat("feed", ConnectionState.BACKING_OFF, "refused")])
    assert observed.not_up() == "feed is backing_off (refused); the watchdog is silent"
    observed.heartbeats = ready
    observed.mode = mode(Mode.NORMAL)
    assert observed.not_up() == "feed is not there"
    observed.heartbeats = [*ready, beat("feed", ConnectionState.READY)]
    assert observed.not_up() == ""
