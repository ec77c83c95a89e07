"""Instruments and orders at a Gateway, form by form: what goes out, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from contract.brokers import CLIENT_ID, combo, future, option, pair, resting, submit
from contract.gateway_desk import at_a_gateway
from msgspec.structs import replace
from support import eventually, run

from ibstream.contracts.instrument import ComboLeg, Instrument
from ibstream.contracts.orders import Algo, AlgoName, OcaType, OrderType, Reason, Side, TimeInForce
from ibstream.ibkr import GatewayUnavailable, contracts
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream.simulation.increments import MARKET_RULES, STOCK_RULE
from ibstream_broker.domain.inputs import (
    CodeReported,
    Executed,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.ports import InstrumentRefused, Placement
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.handlers import HANDLERS
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.server import GatewayServer

AAPL, MSFT = Instrument(symbol="AAPL"), Instrument(symbol="MSFT")
EURUSD, ES, CALL, SPREAD = pair(), future(), option(), combo()
MISSPELT = ComboLeg(instrument=Instrument(symbol="NOSUCH"), side=Side.BUY)


async def arrived(gateway: GatewayServer, order_id: int) -> PlaceOrder:
    """The order as the Gateway has taken it."""
    records = gateway.state.orders.records
    record = await eventually(lambda: records.of_client(CLIENT_ID, order_id), what=f"order {order_id}")
    placed: PlaceOrder = record.placed
    return placed


def test_terms_of_every_kind_of_instrument() -> None:
    """Price steps by the market rule, and what one contract holds."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            stock = await desk.port.terms(AAPL)
            assert (stock.con_id, stock.multiplier, stock.quantity_step) == (265598, 1, 1)
            assert stock.price_tick(Decimal("49.99")) == Decimal("0.01")
            pair = await desk.port.terms(EURUSD)
            assert (pair.price_tick(Decimal("1.1")), pair.quantity_step) == (Decimal("0.00005"), 1)
            contract = await desk.port.terms(ES)
            assert (contract.price_tick(Decimal(5000)), contract.multiplier) == (Decimal("0.25"), 50)
            option = await desk.port.terms(CALL)
            assert option.multiplier == 100
            assert [option.price_tick(Decimal(price)) for price in (1, 4)] == [Decimal("0.01"), Decimal("0.05")]
            combo = await desk.port.terms(SPREAD)
            assert (combo.con_id, combo.multiplier, combo.increments) == (0, 1, ())

    run(scenario())


def test_a_future_is_found_by_its_month_and_by_its_day() -> None:
    """Both name the same contract."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            by_month = await desk.port.terms(ES)
            listing = gateway.state.master.by_con_id(by_month.con_id)
            assert listing is not None
            assert len(ES.expiry) == len("YYYYMM")
            assert listing.last_trade_date.startswith(ES.expiry)
            assert await desk.port.terms(replace(ES, expiry=listing.last_trade_date)) == by_month

    run(scenario())


def test_terms_are_known_once_they_were_looked_up() -> None:
    """Without asking the Gateway, which may be gone by then."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            assert desk.port.known_terms(AAPL) is None
            terms = await desk.port.terms(AAPL)
            await desk.port.close()
            assert desk.port.known_terms(AAPL) == terms
            assert desk.port.known_terms(MSFT) is None

    run(scenario())


@pytest.mark.parametrize(
    ("instrument", "reason", "text"),
    [
        (replace(ES, expiry=""), Reason.AMBIGUOUS_INSTRUMENT, "expiry"),
        (replace(ES, expiry="203013"), Reason.UNKNOWN_INSTRUMENT, "ES 203013"),
        (Instrument(symbol="XXX", security_type="CASH"), Reason.UNKNOWN_INSTRUMENT, "XXX.USD"),
        (
            Instrument(symbol="AAPL", security_type="OPT", expiry="20200117", strike=Decimal(1), right="C"),
            Reason.UNKNOWN_INSTRUMENT,
            "AAPL 20200117 1 C",
        ),
        (replace(SPREAD, legs=(*SPREAD.legs, MISSPELT)), Reason.UNKNOWN_INSTRUMENT, "NOSUCH"),
        (replace(SPREAD, legs=SPREAD.legs[:1]), Reason.INVALID_INSTRUMENT, "two legs"),
    ],
    ids=["several months", "no such month", "no such pair", "expired option", "unknown leg", "one leg"],
)
def test_what_cannot_be_traded_as_named_is_refused_by_name(instrument: Instrument, reason: Reason, text: str) -> None:
    """The text says which one, and what would tell it apart."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            with pytest.raises(InstrumentRefused, match=text) as refused:
                await desk.port.terms(instrument)
            assert refused.value.reason is reason

    run(scenario())


def test_a_market_rule_that_is_not_answered_leaves_the_least_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """In good time, and once in a session: the next instrument with that rule does not wait again; the next session asks."""
    monkeypatch.setattr(contracts, "RULE_TIMEOUT_S", 0.3)
    asked: list[object] = []

    def silent(*told: object) -> Iterator[Any]:
        asked.append(told)
        return iter(())

    monkeypatch.setitem(HANDLERS, requests.ReqMarketRule, silent)

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            started = SYSTEM_CLOCK.monotonic()
            terms = await desk.port.terms(AAPL)
            waited_s = SYSTEM_CLOCK.monotonic() - started
            assert 0.3 <= waited_s < 5
            assert terms.increments == ((Decimal(0), Decimal("0.01")),)
            before = len(asked)
            await desk.port.terms(MSFT)
            assert len(asked) == before == 1, "a rule that was not answered is asked for once in a session"
            monkeypatch.undo()
            monkeypatch.setitem(MARKET_RULES, STOCK_RULE, ((Decimal(0), Decimal("0.05")),))
            await desk.reconnect()
            assert (await desk.port.terms(MSFT)).increments == ((Decimal(0), Decimal("0.05")),)

    run(scenario())


def kinds() -> Iterator[Any]:
    """An order of each type that rests, and the fields by which the Gateway knows it."""
    in_an_hour = SYSTEM_CLOCK.now().replace(microsecond=0) + timedelta(hours=1)
    stamp = f"{in_an_hour:%Y%m%d-%H:%M:%S}"
    low, high = Decimal("1.00"), Decimal("9000.00")
    trail = {"trailing_amount": Decimal("50.00"), "side": Side.SELL}
    yield "MKT", {"good_after": in_an_hour}, {"good_after_time": stamp}
    yield (
        "LMT",
        {"limit_price": low, "time_in_force": TimeInForce.GTC, "outside_regular_hours": True},
        {"outside_rth": True},
    )
    yield (
        "LMT",
        {"limit_price": low, "time_in_force": TimeInForce.GTD, "good_till": in_an_hour},
        {"good_till_date": stamp},
    )
    yield "LMT", {"limit_price": low, "time_in_force": TimeInForce.OPG}, {}
    yield "STP", {"stop_price": high}, {"aux_price": high}
    yield "STP LMT", {"stop_price": high, "limit_price": low}, {"aux_price": high, "limit_price": low}
    yield "TRAIL", trail, {"aux_price": Decimal(50), "trailing_percent": None}
    percent = {"trailing_percent": Decimal("12.5"), "side": Side.SELL, "stop_price": low}
    yield "TRAIL", percent, {"trailing_percent": Decimal("12.5"), "trail_stop_price": low, "aux_price": None}
    limited = {**trail, "stop_price": low, "limit_offset": Decimal("0.25")}
    yield "TRAIL LIMIT", limited, {"limit_price_offset": Decimal("0.25"), "limit_price": None}
    yield "MIT", {"stop_price": low}, {"aux_price": low}
    yield "LIT", {"stop_price": low, "limit_price": low}, {"aux_price": low, "limit_price": low}
    yield "MOC", {}, {"limit_price": None, "aux_price": None}
    yield "LOC", {"limit_price": low}, {"limit_price": low}
    yield "REL", {"peg_offset": Decimal("0.01"), "limit_price": low}, {"aux_price": Decimal("0.01"), "limit_price": low}


@pytest.mark.parametrize(("kind", "details", "expected"), list(kinds()))
def test_every_type_of_order_is_taken_as_it_was_meant(
    kind: str, details: dict[str, Any], expected: dict[str, Any]
) -> None:
    """And shown again as it was placed, whole."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            details.setdefault("time_in_force", TimeInForce.DAY)
            request = submit("k-1", **{**details, "order_type": OrderType(kind)})
            order_id = await desk.place(request)
            placed = await arrived(gateway, order_id)
            assert (placed.order_type, placed.tif, placed.account) == (kind, request.time_in_force, desk.port.account)
            assert {name: getattr(placed, name) for name in expected} == expected
            seen = await desk.seen("k-1")
            assert (seen.quantity, seen.side, seen.symbol) == (request.quantity, request.side, "AAPL")
            assert (seen.client_id, seen.account, seen.time_in_force) == (CLIENT_ID, placed.account, placed.tif)
            if kind not in ("TRAIL", "TRAIL LIMIT"):  # their stop moves with the price
                assert (seen.limit_price, seen.stop_price) == (request.limit_price, request.stop_price)
            assert not [one for one in desk.heard if isinstance(one, CodeReported)]

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "time_in_force"), [(OrderType.LIMIT, TimeInForce.IOC), (OrderType.LIMIT, TimeInForce.FOK)]
)
def test_an_order_that_must_fill_at_once_ends_at_once(kind: OrderType, time_in_force: TimeInForce) -> None:
    """Nobody sells for a dollar."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            order_id = await desk.place(resting("q-1", order_type=kind, time_in_force=time_in_force))
            await desk.status(order_id, "Cancelled")

    run(scenario())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        (AlgoName.ADAPTIVE, {"adaptivePriority": "Patient"}),
        (AlgoName.TWAP, {"strategyType": "Marketable", "allowPastEndTime": "1"}),
        (AlgoName.VWAP, {"maxPctVol": "0.1", "noTakeLiq": "1"}),
    ],
)
def test_an_algo_is_asked_for_with_its_parameters(name: AlgoName, parameters: dict[str, str]) -> None:
    """By the names that IBKR gives them."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            order_id = await desk.place(resting("a-1", algo=Algo(name=name, parameters=parameters)))
            placed = await arrived(gateway, order_id)
            assert (placed.algo_strategy, placed.algo_params) == (name, parameters)

    run(scenario())


def test_an_execution_tells_the_contract_of_every_kind_of_instrument() -> None:
    """By its id and type: positions are added up by them."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            traded = {AAPL: 10, EURUSD: 1_000, ES: 2, CALL: 3}
            for number, (instrument, quantity) in enumerate(traded.items()):
                await desk.place(submit(f"i-{number}", instrument=instrument, quantity=Decimal(quantity)))
            for number, instrument in enumerate(traded):
                executed = await desk.executed(f"i-{number}")
                assert executed.con_id == (await desk.port.terms(instrument)).con_id
                assert executed.security_type == instrument.security_type
                assert (executed.symbol, executed.account) == (instrument.symbol, desk.port.account)
            held = {one.con_id: (one.security_type, one.quantity) for one in await desk.port.positions()}
            con_ids = [(await desk.port.terms(one)).con_id for one in traded]
            expected = [(one.security_type, quantity) for one, quantity in traded.items()]
            assert held == dict(zip(con_ids, expected, strict=True))

    run(scenario())


def test_a_combo_is_executed_as_such_and_leg_by_leg() -> None:
    """Its own execution changes no position; those of its legs do, each under the leg's contract."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            order_id = await desk.place(submit("c-1", instrument=SPREAD, quantity=Decimal(3)))
            placed = await arrived(gateway, order_id)
            assert [(leg.ratio, leg.action) for leg in placed.legs] == [(1, "BUY"), (2, "SELL")]
            assert {leg.exchange for leg in placed.legs} == {"SMART"}
            await desk.status(order_id, "Filled")
            executions = [one for one in desk.heard if isinstance(one, Executed)]
            assert sorted((one.security_type, one.side, one.quantity) for one in executions) == [
                ("BAG", "BUY", 3),
                ("STK", "BUY", 3),
                ("STK", "SELL", 6),
            ]
            legs = {one.con_id: one.symbol for one in executions if one.security_type == "STK"}
            expected = {(await desk.port.terms(leg.instrument)).con_id: leg.instrument.symbol for leg in SPREAD.legs}
            assert legs == expected
            assert {one.order_ref for one in executions} == {"c-1"}
            assert {one.con_id: one.quantity for one in await desk.port.positions()} == dict(
                zip(expected, (3, -6), strict=True)
            )

    run(scenario())


def test_a_bracket_waits_for_its_last_order() -> None:
    """The Gateway holds the others until then: no parent works without its stop."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            sell = {"side": Side.SELL, "time_in_force": TimeInForce.GTC}
            parent_id = await desk.place(resting("b-parent"), transmit=False)
            target = submit("b-target", limit_price=Decimal("9000.00"), **sell)
            await desk.place(target, parent_id=parent_id, transmit=False)
            await desk.port.positions()  # had anything been said, it would have come before this
            assert not [one for one in desk.heard if isinstance(one, OrderSeen | StatusReported)]
            stop = submit("b-stop", order_type=OrderType.STOP, stop_price=Decimal("0.50"), **sell)
            stop_id = await desk.place(stop, parent_id=parent_id)
            await desk.status(parent_id, "Submitted")
            held = await desk.status(stop_id, "PreSubmitted")
            assert "child" in held.why_held
            assert (await arrived(gateway, stop_id)).parent_id == parent_id

    run(scenario())


@pytest.mark.parametrize(
    ("oca_type", "number", "outcome"), [(OcaType.CANCEL, 1, "Cancelled"), (OcaType.REDUCE, 2, "Submitted")]
)
def test_a_partial_fill_does_to_its_group_what_was_asked(oca_type: OcaType, number: int, outcome: str) -> None:
    """The others end, or shrink."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            group = {"oca_group": "g-1", "oca_type": oca_type}
            first, second = [await desk.place(resting(f"g-{one}"), **group) for one in range(2)]
            await desk.status(second, "Submitted")
            placed = await arrived(gateway, second)
            assert (placed.oca_group, placed.oca_type) == ("g-1", number)
            acts.command(gateway.state, verbs.Fill(client_id=CLIENT_ID, order_id=first, quantity=Decimal(4)))
            await desk.hears(Executed, lambda one: one.order_ref == "g-0")
            listed = (await desk.port.snapshot()).open_orders
            quantities = {one.order_ref: one.quantity for one in listed}
            assert quantities.get("g-1") == (6 if outcome == "Submitted" else None)

    run(scenario())


def test_a_modify_changes_the_working_order() -> None:
    """Under its id; price, quantity and all."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            placement = await desk.placement(resting("m-1"))
            await desk.port.place(placement, session=desk.port.session)
            await desk.status(placement.order_id, "Submitted")
            changed = resting("m-1", limit_price=Decimal("2.05"), quantity=Decimal(7))
            again = Placement(order_id=placement.order_id, request=changed, account=desk.port.account)
            await desk.port.modify(again, session=desk.port.session)
            await desk.hears(OrderSeen, lambda one: (one.limit_price, one.quantity) == (Decimal("2.05"), 7))
            assert len((await desk.port.snapshot()).open_orders) == 1

    run(scenario())


@pytest.mark.parametrize("operation", ["place", "modify", "cancel"])
def test_nothing_meant_for_another_session_is_sent(operation: str) -> None:
    """In this one the id might be nobody's, or somebody else's."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            placement = await desk.placement(resting("s-1"))
            former = desk.port.session
            await desk.reconnect()
            calls = {
                "place": lambda: desk.port.place(placement, session=former),
                "modify": lambda: desk.port.modify(placement, session=former),
                "cancel": lambda: desk.port.cancel(placement.order_id, session=former),
            }
            with pytest.raises(GatewayUnavailable, match="not sent"):
                await calls[operation]()
            await desk.port.snapshot()  # had it been sent, it would have come before this
            assert gateway.state.orders.records.of_client(CLIENT_ID, placement.order_id) is None
            assert not [one for one in desk.heard if isinstance(one, CodeReported)]

    run(scenario())
