"""Contracts in a real Redis: kept by account and symbol; what cannot be read is looked up again."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec
import pytest
from support import log_of, run

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.registry import contracts_key
from ibstream_feed.adapters import contract_store
from ibstream_feed.adapters.contract_store import DROP_MAX, ContractStore
from ibstream_feed.ports import Qualified

AT = datetime.fromisoformat("2026-11-27T14:30:00+00:00")
OPTION = Instrument(symbol="SPX", security_type="OPT", expiry="20261218", strike=Decimal("5000.5"), right="C")


def qualified(instrument: Instrument, con_id: int = 1) -> Qualified:
    """With something of everything."""
    return Qualified(
        instrument=instrument,
        con_id=con_id,
        exchange="SMART",
        primary_exchange="NASDAQ",
        local_symbol="SPXW  261218C05000500",
        expiry="20261218",
        multiplier="100",
        trading_class="SPXW",
        time_zone="US/Central",
        trading_hours="20261127:0400-20261127:1700;20261128:CLOSED",
        liquid_hours="20261127:0930-20261127:1300",
        qualified_at=AT,
    )


def test_what_is_kept_is_loaded_by_account(redis_url: str) -> None:
    """Every field comes back; another account, of a stand-in Gateway say, has contracts of its own."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            store = ContractStore(bus)
            assert await store.load("DU1") == {}
            contracts = {quote_symbol(one): qualified(one) for one in (OPTION, Instrument(symbol="BRK.B"))}
            for symbol, contract in contracts.items():
                await store.keep("DU1", symbol, contract)
            await store.keep("DU2", "BRK.B", qualified(Instrument(symbol="BRK.B"), 7))
            assert await store.load("DU1") == contracts
            assert {symbol: one.con_id for symbol, one in (await store.load("DU2")).items()} == {"BRK.B": 7}

    run(play())


def test_the_newer_takes_the_place_of_the_older_and_what_is_dropped_is_gone(redis_url: str) -> None:
    """Of one symbol one contract is kept; dropping what is not there is no error."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            store = ContractStore(bus)
            aapl = Instrument(symbol="AAPL")
            await store.keep("DU1", "AAPL", qualified(aapl, 1))
            await store.keep("DU1", "AAPL", qualified(aapl, 2))
            assert [one.con_id for one in (await store.load("DU1")).values()] == [2]
            await store.drop("DU1", "AAPL")
            await store.drop("DU1", "AAPL")
            assert await store.load("DU1") == {}

    run(play())


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"[]", b"{}", b"\xff", msgspec.json.encode(qualified(Instrument(symbol="MSFT")))],
    ids=["empty", "cut", "list", "no fields", "no UTF-8", "another symbol's"],
)
def test_what_cannot_be_read_is_dropped_and_told(redis_url: str, value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is loaded; a contract under another symbol's name would be quotes of the wrong thing."""
    log = log_of(contract_store, monkeypatch)

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            store = ContractStore(bus)
            await store.keep("DU1", "SPY", qualified(Instrument(symbol="SPY")))
            await bus.set_fields(contracts_key("DU1"), {"AAPL": value})
            assert set(await store.load("DU1")) == {"SPY"}
            assert set(await bus.hash(contracts_key("DU1"))) == {b"SPY"}

    run(play())
    assert [(entry["event"], entry["symbol"]) for entry in log] == [("feed.undecodable_contract", "AAPL")]


def test_a_name_that_is_no_text_is_dropped(redis_url: str) -> None:
    """Whoever wrote it."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.run_script(
                "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])",
                [contracts_key("DU1")],
                [b"\xff", msgspec.json.encode(qualified(Instrument(symbol="SPY")))],
            )
            assert await ContractStore(bus).load("DU1") == {}
            assert await bus.hash(contracts_key("DU1")) == {}

    run(play())


def test_a_hash_full_of_nonsense_is_cleared(redis_url: str) -> None:
    """More than one script drops, and more than Lua's stack holds."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            await bus.set_fields(contracts_key("DU1"), {f"S{number}": b"?" for number in range(9 * DROP_MAX + 1)})
            assert await ContractStore(bus).load("DU1") == {}
            assert await bus.hash(contracts_key("DU1")) == {}

    run(play())


def test_some_are_had_without_the_rest(redis_url: str) -> None:
    """Of what was asked for, what is kept and can be read."""

    async def play() -> None:
        async with Bus(redis_url, client_name="test") as bus:
            store = ContractStore(bus)
            kept = {symbol: qualified(Instrument(symbol=symbol)) for symbol in ("SPY", "AAPL")}
            for symbol, contract in kept.items():
                await store.keep("DU1", symbol, contract)
            await bus.set_fields(contracts_key("DU1"), {"MSFT": b"?"})
            assert await store.some("DU1", ["AAPL", "MSFT", "TSLA"]) == {"AAPL": kept["AAPL"]}
            assert await store.some("DU2", ["AAPL"]) == {}

    run(play())
