"""Cards B-10 to B-19: what can be traded and on which terms, for every executor."""

from __future__ import annotations

from decimal import Decimal

import pytest
from contract.brokers import (
    EVERY,
    MATCHING,
    Broker,
    combo,
    future,
    option,
    pair,
)
from support import run

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import Reason, Side
from ibstream_broker.ports import InstrumentRefused

D = Decimal


INSTRUMENTS = {
    "stock": (Instrument(symbol="AAPL"), ("STK", 1, {1: "0.01", 500: "0.01"}, 1)),
    "class": (Instrument(symbol="BRK.B", primary_exchange="NYSE"), ("STK", 1, {1: "0.01"}, 1)),
    "fund": (Instrument(symbol="SPY", primary_exchange="ARCA"), ("STK", 1, {1: "0.01"}, 1)),
    "pair": (pair(), ("CASH", 1, {1: "0.00005"}, 1)),
    "pair by default": (Instrument(symbol="USD", currency="JPY", security_type="CASH"), ("CASH", 1, {150: "0.005"}, 1)),
    "future": (future("ES"), ("FUT", 50, {6800: "0.25"}, 1)),
    "future in cents": (future("YW"), ("FUT", 10, {600: "0.125"}, 1)),
    "option": (option(), ("OPT", 100, {1: "0.01", 3: "0.05", 70: "0.05"}, 1)),
    "option on a class": (option("400", "P", "BRK.B"), ("OPT", 100, {1: "0.01"}, 1)),
}


@MATCHING
def test_every_kind_of_instrument_has_its_terms(broker: Broker) -> None:
    """B-10: contract id, multiplier, the step of a price at each price, the step of a quantity."""

    async def scenario() -> None:
        async with broker() as desk:
            con_ids = set()
            for instrument, (_, multiplier, ticks, quantity_step) in INSTRUMENTS.values():
                terms = await desk.port.terms(instrument)
                con_ids.add(terms.con_id)
                assert terms.con_id > 0
                assert (terms.multiplier, terms.quantity_step) == (multiplier, quantity_step), instrument
                assert {price: str(terms.price_tick(D(price))) for price in ticks} == ticks, instrument
            assert len(con_ids) == len(INSTRUMENTS)

    run(scenario())


@EVERY
def test_terms_are_known_once_they_were_looked_up(broker: Broker) -> None:
    """B-11: and not before; routing and session change nothing."""

    async def scenario() -> None:
        async with broker() as desk:
            instrument = Instrument(symbol="MSFT")
            assert desk.port.known_terms(instrument) is None
            terms = await desk.port.terms(instrument)
            await desk.port.close()
            assert desk.port.known_terms(Instrument(symbol="MSFT")) == terms
            assert desk.port.known_terms(Instrument(symbol="NVDA")) is None

    run(scenario())


UNKNOWN = [
    Instrument(symbol="NOPE"),
    Instrument(symbol="AAPL", currency="EUR"),
    Instrument(symbol="AAPL", primary_exchange="NYSE"),
    Instrument(symbol="EUR", currency="SGD", security_type="CASH"),
    Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="209912"),
    Instrument(symbol="AAPL", security_type="OPT", expiry="20991218", strike=D(250), right="C"),
    Instrument(symbol="AAPL", security_type="OPT", expiry=option().expiry, strike=D("250.01"), right="C"),
]


@MATCHING
def test_an_unknown_instrument_is_refused_by_name(broker: Broker) -> None:
    """B-12: by symbol, currency, listing exchange, expiry or strike; and the session goes on."""

    async def scenario() -> None:
        async with broker() as desk:
            for unknown in UNKNOWN:
                with pytest.raises(InstrumentRefused, match=unknown.symbol) as refused:
                    await desk.port.terms(unknown)
                assert refused.value.reason is Reason.UNKNOWN_INSTRUMENT, unknown
                assert desk.port.known_terms(unknown) is None
            assert await desk.port.health_check()

    run(scenario())


@MATCHING
def test_an_instrument_that_could_be_several_is_refused(broker: Broker) -> None:
    """B-13: a future without its month, an option without its right: nobody guesses."""

    async def scenario() -> None:
        async with broker() as desk:
            several = [
                Instrument(symbol="ES", security_type="FUT", exchange="CME"),
                Instrument(symbol="AAPL", security_type="OPT", expiry=option().expiry, strike=D(250)),
            ]
            for unclear in several:
                with pytest.raises(InstrumentRefused, match=unclear.symbol) as refused:
                    await desk.port.terms(unclear)
                assert refused.value.reason is Reason.AMBIGUOUS_INSTRUMENT

    run(scenario())


@EVERY
def test_a_combo_has_no_contract_of_its_own(broker: Broker) -> None:
    """B-14: its contract id is 0."""

    async def scenario() -> None:
        async with broker() as desk:
            assert (await desk.port.terms(combo())).con_id == 0

    run(scenario())


@MATCHING
def test_a_combo_with_a_leg_that_is_unknown_is_refused(broker: Broker) -> None:
    """B-14: its legs are looked up like any instrument."""

    async def scenario() -> None:
        async with broker() as desk:
            legs = (*combo().legs[:1], ComboLeg(instrument=Instrument(symbol="NOPE"), side=Side.SELL))
            with pytest.raises(InstrumentRefused, match="NOPE"):
                await desk.port.terms(Instrument(symbol="AAPL", security_type="BAG", legs=legs))

    run(scenario())
