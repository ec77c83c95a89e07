"""The last quotes as the broker reads them, on a real Redis."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from redis_for_tests import KillableServer
from support import eventually, log_of, run

from ibstream.bus import Bus
from ibstream.contracts.quotes import Quality, Quote, shard_of
from ibstream.contracts.registry import last_quotes_key
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.adapters import quotes as quotes_module
from ibstream_broker.adapters.quotes import QUOTES_DEADLINE_S, LastQuotes
from ibstream_broker.domain.quotes import LastQuote

SHARDS = 8
TIME_NS = 1_790_000_000_123_456_789
AT = datetime(2026, 9, 21, 14, 13, 20, 123456, tzinfo=UTC)


async def written(bus: Bus, *rows: Quote, shards: int = SHARDS) -> None:
    """Put rows where the feed puts them."""
    for row in rows:
        await bus.set_fields(last_quotes_key(shard_of(row.symbol, shards)), {row.symbol: msgspec.json.encode(row)})


def test_a_quote_is_found_in_its_shard(redis_url: str) -> None:
    """Prices come as the feed wrote them, exactly; the time is UTC, the quality the row's own."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await written(bus, Quote("AAPL", 50.1, 50.11, 50.1, time_ns=TIME_NS, quality=Quality.DELAYED))
            assert await LastQuotes(bus, SHARDS).of("AAPL") == LastQuote(
                bid=Decimal("50.1"), ask=Decimal("50.11"), last=Decimal("50.1"), at=AT, quality=Quality.DELAYED
            )

    run(scenario())


def test_what_is_not_known_is_none(redis_url: str) -> None:
    """A price that the row has not, a symbol that nobody subscribed, and no symbols at all."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            quotes = LastQuotes(bus, SHARDS)
            await written(bus, Quote("MSFT", ask=3.0, time_ns=TIME_NS))
            assert await quotes.of("MSFT") == LastQuote(ask=Decimal("3.0"), at=AT)
            assert await quotes.of("AAPL") is None
            assert await quotes.of_each([]) == {}

    run(scenario())


@pytest.mark.parametrize("shards", [1, 8, 200])
def test_many_quotes_come_together(redis_url: str, shards: int) -> None:
    """Whatever shards they lie in; those that there are none of are left out, and one named twice comes once."""
    symbols = ["AAPL", "MSFT", "BRK.B", "NVDA", "TSLA", "AMZN"]

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            rows = [Quote(one, last=float(n), time_ns=TIME_NS) for n, one in enumerate(symbols, start=1)]
            await written(bus, *rows, shards=shards)
            found = await LastQuotes(bus, shards).of_each([*symbols, "AAPL", "NONE"])
            assert {one: quote.last for one, quote in found.items()} == {
                one: Decimal(n) for n, one in enumerate(symbols, start=1)
            }

    run(scenario())


@pytest.mark.parametrize("row", [b"", b"[]", b"nonsense", b'["AAPL","x"]', b'["AAPL",1,1,1,1,1,1,1,-5,"live"]'])
def test_a_row_that_cannot_be_read_is_no_quote(redis_url: str, row: bytes) -> None:
    """Another program may have written it; the other rows are read all the same."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await written(bus, Quote("MSFT", last=3.0, time_ns=TIME_NS))
            await bus.set_fields(last_quotes_key(shard_of("AAPL", SHARDS)), {"AAPL": row})
            assert list(await LastQuotes(bus, SHARDS).of_each(["AAPL", "MSFT"])) == ["MSFT"]

    run(scenario())


def test_a_key_of_another_kind_is_no_quote(redis_url: str) -> None:
    """Redis refuses the question (WRONGTYPE); nothing is raised."""

    async def scenario() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.put(last_quotes_key(shard_of("AAPL", SHARDS)), b"1")
            assert await LastQuotes(bus, SHARDS).of("AAPL") is None

    run(scenario())


def test_a_server_that_hangs_is_not_waited_for_and_complained_of_once(
    private_server: Callable[[], KillableServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question takes the deadline at most; the outage is one warning, its end is told, and the next one is another."""

    async def scenario() -> None:
        server = private_server()
        async with server, Bus(server.url, client_name="test") as bus:
            await written(bus, Quote("AAPL", last=3.0, time_ns=TIME_NS))
            quotes = LastQuotes(bus, SHARDS)
            logged = log_of(quotes_module, monkeypatch)
            for _ in range(2):
                async with server.frozen():
                    started = SYSTEM_CLOCK.monotonic()
                    for _ in range(3):
                        assert await quotes.of_each(["AAPL", "MSFT"]) == {}
                    assert SYSTEM_CLOCK.monotonic() - started < 3 * QUOTES_DEADLINE_S + 0.5
                await eventually(lambda: quotes.of("AAPL"), what="an answer of the server that runs again")
            assert [one["event"] for one in logged] == ["broker.no_quotes", "broker.quotes_again"] * 2

    run(scenario())


def test_without_redis_there_are_no_quotes(private_server: Callable[[], KillableServer]) -> None:
    """A quotes server that is away does not stop the order path; the limits decide what that means."""

    async def scenario() -> None:
        server = private_server()
        async with server, Bus(server.url, client_name="test") as bus:
            await written(bus, Quote("AAPL", last=3.0, time_ns=TIME_NS))
            quotes = LastQuotes(bus, SHARDS)
            assert await quotes.of("AAPL") is not None
            await server.kill()
            assert await quotes.of("AAPL") is None

    run(scenario())
