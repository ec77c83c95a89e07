"""Cards B-01 to B-29: sessions, instruments, identity. One suite for every executor: the matching engine, the stub, and a
Gateway on the wire.

`PaperStubBroker` fills everything at once and knows every instrument, by design: what needs a resting order, a refusal or a
market runs against the other two (`MATCHING`). The cards stand in `docs/broker-contract.md`.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest
from contract.brokers import (
    CLIENT_ID,
    HIGH,
    Broker,
    combo,
    future,
    gateway,
    option,
    pair,
    resting,
    simulated,
    stub,
    submit,
)
from support import run

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import Reason, Side, TimeInForce
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.runtime.connection import Trigger
from ibstream_broker.domain.inputs import CodeReported, OrderSeen, StatusReported
from ibstream_broker.ports import InstrumentRefused

EVERY = pytest.mark.parametrize("broker", [simulated, stub, gateway])
MATCHING = pytest.mark.parametrize("broker", [simulated, gateway])
D = Decimal


@EVERY
def test_a_session_is_healthy_until_it_ends(broker: Broker) -> None:
    """B-01: True on a live session, False after; sessions are counted; the account has a name; closing twice is no error."""

    async def scenario() -> None:
        async with broker() as desk:
            assert await desk.port.health_check() is True
            assert (desk.port.session, bool(desk.port.account)) == (1, True)
            await desk.port.close()
            await desk.port.close()
            assert await desk.port.health_check() is False
            await desk.port.connect(CLIENT_ID)
            assert await desk.port.health_check() is True
            assert desk.port.session == 2

    run(scenario())


@EVERY
def test_the_end_of_a_session_is_its_last_event(broker: Broker) -> None:
    """B-02: whoever waits for the next one is told."""

    async def scenario() -> None:
        async with broker() as desk:
            waiting = asyncio.create_task(desk.port.next_event())
            await SYSTEM_CLOCK.sleep(0)
            await desk.port.close()
            async with asyncio.timeout(5):
                assert (await waiting).trigger is Trigger.LOST

    run(scenario())


@EVERY
def test_what_was_decided_in_a_session_is_sent_in_no_other(broker: Broker) -> None:
    """B-03: place, modify and cancel raise `ConnectionError`, and nothing of them has arrived anywhere."""

    async def scenario() -> None:
        async with broker() as desk:
            placed = await desk.place(submit("before"))
            await desk.status(placed, "Filled")
            late, before = await desk.placement(submit("late")), desk.port.session
            await desk.reconnect()
            desk.heard.clear()
            with pytest.raises(ConnectionError):
                await desk.port.place(late, session=before)
            with pytest.raises(ConnectionError):
                await desk.port.modify(late, session=before)
            with pytest.raises(ConnectionError):
                await desk.port.cancel(placed, session=before)
            snapshot = await desk.port.snapshot()  # a round trip: whatever had been sent would be there
            assert snapshot.open_orders == []
            assert {one.order_ref for one in snapshot.completed_orders} == {"before"}
            assert not any(isinstance(one, StatusReported | CodeReported) for one in desk.heard)

    run(scenario())


@MATCHING
def test_a_working_order_is_out_of_reach_of_an_ended_session(broker: Broker) -> None:
    """B-03: it is neither changed nor cancelled by what was decided before a reconnect, and both work after it."""

    async def scenario() -> None:
        async with broker() as desk:
            order_id, before = await desk.place(resting("w-1")), desk.port.session
            await desk.status(order_id, "Submitted")
            await desk.reconnect()
            changed = resting("w-1", limit_price=D("1.25"))
            with pytest.raises(ConnectionError):
                await desk.port.cancel(order_id, session=before)
            [standing] = (await desk.port.snapshot()).open_orders
            assert (standing.order_id, standing.limit_price) == (order_id, D("1"))
            await desk.modify(order_id, changed)
            await desk.seen("w-1", lambda one: one.limit_price == D("1.25"))
            await desk.cancel(order_id)
            await desk.status(order_id, "Cancelled")

    run(scenario())


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


@EVERY
def test_order_ids_are_never_used_twice_and_not_below_what_is_asked(broker: Broker) -> None:
    """B-20: whatever the journal has seen, and across sessions, where the journal says how far it got."""

    async def scenario() -> None:
        async with broker() as desk:
            ids = [desk.port.next_order_id(1) for _ in range(3)]
            ids.append(desk.port.next_order_id(500))
            ids.append(desk.port.next_order_id(1))
            await desk.reconnect()
            ids.append(desk.port.next_order_id(ids[-1] + 1))
            assert ids == sorted(set(ids))
            assert ids[3] >= 500

    run(scenario())


@EVERY
def test_an_order_id_is_good_for_one_order(broker: Broker) -> None:
    """B-21: a second order under the id of one that has ended is refused, and the first one's story stays as it is."""

    async def scenario() -> None:
        async with broker() as desk:
            placement = await desk.placement(submit("first"))
            await desk.port.place(placement, session=desk.port.session)
            await desk.status(placement.order_id, "Filled")
            again = await desk.placement(submit("second"))
            await desk.port.place(
                msgspec.structs.replace(again, order_id=placement.order_id), session=desk.port.session
            )
            refused = await desk.code(placement.order_id)
            assert (refused.cancelled, refused.advice) == (False, False)
            snapshot = await desk.port.snapshot()
            assert [one.order_ref for one in snapshot.completed_orders] == ["first"]
            assert {one.order_ref for one in snapshot.executions} == {"first"}

    run(scenario())


@MATCHING
def test_an_order_comes_back_as_it_was_sent(broker: Broker) -> None:
    """B-22: its reference, ids, client, account, symbol, side, size, prices and time in force."""

    async def scenario() -> None:
        async with broker() as desk:
            request = resting("echo:1_A-z", symbol="BRK.B", side=Side.SELL, limit_price=HIGH, quantity=D(7),
                              time_in_force=TimeInForce.GTC)  # fmt: skip
            order_id = await desk.place(request)
            seen = await desk.seen("echo:1_A-z")
            assert seen.perm_id > 0
            [listed] = (await desk.port.snapshot()).open_orders
            for one in (seen, listed):
                assert (one.order_ref, one.order_id, one.client_id) == ("echo:1_A-z", order_id, CLIENT_ID)
                assert (one.account, one.symbol, one.side) == (desk.port.account, "BRK.B", Side.SELL)
                assert (one.quantity, one.limit_price, one.time_in_force) == (7, HIGH, "GTC")
                assert one.perm_id == seen.perm_id

    run(scenario())


@EVERY
def test_there_is_room_for_orders_at_once_on_a_quiet_session(broker: Broker) -> None:
    """B-23: pacing costs nothing before the limit is near, and what there is room for is told without waiting."""

    async def scenario() -> None:
        async with broker() as desk, asyncio.timeout(0.5):
            assert desk.port.capacity() >= 5
            for _ in range(5):
                await desk.port.room()
            assert desk.port.capacity() >= 0
            assert not any(isinstance(one, OrderSeen) for one in desk.heard)

    run(scenario())
