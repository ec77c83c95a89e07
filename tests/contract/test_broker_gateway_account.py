"""What the broker asks a Gateway without ordering anything: what-ifs, its lists, positions and profits, and the room to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from contract.brokers import CLIENT_ID, combo, resting, submit, trading
from contract.gateway_desk import at_a_gateway
from contract.gateways import settings_for, standing_in
from support import eventually, run

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Side
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.adapters import ibkr
from ibstream_broker.adapters.ibkr import IBKRBrokerAdapter
from ibstream_broker.adapters.ibkr_hearing import Gathered
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CodeReported,
    OrderSeen,
    PnlReported,
    PositionReported,
    StatusReported,
)
from ibstream_broker.ports import OrderRefused
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.handlers import HANDLERS
from ibstream_gateway_emulator.protocol import requests
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.settings import Holding

if TYPE_CHECKING:
    from ib_async import IB

T = TypeVar("T")

AAPL, MSFT = Instrument(symbol="AAPL"), Instrument(symbol="MSFT")

WITHOUT_ID = frozenset({"71", "6", "49", "61"})
"""startApi, reqAccountUpdates, reqCurrentTime, reqPositions."""


def test_a_what_if_is_answered_and_leaves_no_order() -> None:
    """Margin and commission come back; nothing works, and the broker's books hear of nothing."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            preview = await desk.what_if(resting("w-1", quantity=Decimal(100)))
            assert preview.initial_margin_change is not None
            assert preview.initial_margin_change > 0
            assert preview.commission_currency == "USD"
            bounds = preview.commission_min, preview.commission_max
            assert preview.commission is not None or None not in bounds
            snapshot = await desk.port.snapshot()
            assert snapshot.open_orders == snapshot.completed_orders == snapshot.executions == []
            assert not [one for one in desk.heard if isinstance(one, OrderSeen | StatusReported | CodeReported)]
            assert not list(gateway.state.orders.records.live())
            order_id = await desk.place(resting("w-1"))
            await desk.status(order_id, "Submitted")

    run(scenario())


def test_what_ifs_at_once_are_each_answered_for_themselves() -> None:
    """Also beside a snapshot, which lists none of them."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            sizes = [Decimal(size) for size in (100, 1_000, 10_000)]
            asked = [await desk.placement(resting(f"w-{size}", quantity=size)) for size in sizes]
            async with asyncio.TaskGroup() as group:
                answers = [group.create_task(desk.port.what_if(one, sent=lambda: None)) for one in asked]
                listing = group.create_task(desk.port.snapshot())
            previews, snapshot = [one.result() for one in answers], listing.result()
            margins = [one.initial_margin_change or Decimal(0) for one in previews]
            assert margins == sorted(margins)
            assert len(set(margins)) == len(margins)
            assert snapshot.open_orders == []

    run(scenario())


def test_a_what_if_that_is_refused_says_why() -> None:
    """With IBKR's code, told to who asked and to nobody else: a combo routed by SMART has none (360)."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            with pytest.raises(OrderRefused) as refused:
                await desk.what_if(submit("w-1", instrument=combo()))
            assert refused.value.code == 360
            assert refused.value.text
            assert not [one for one in desk.heard if isinstance(one, CodeReported)]

    run(scenario())


def test_a_what_if_at_a_read_only_gateway_is_refused() -> None:
    """321, which ib_async takes for a warning: nobody waits for an answer that cannot come."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            acts.command(gateway.state, verbs.ReadOnlyApi())
            with pytest.raises(OrderRefused, match=r"(?i)read-only") as refused:
                await desk.what_if(resting("w-1"))
            assert refused.value.code == 321

    run(scenario())


def test_a_what_if_that_is_never_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recoverably; and the connection goes on."""
    monkeypatch.setattr(ibkr, "WHAT_IF_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            with monkeypatch.context() as silently:
                silently.setitem(HANDLERS, PlaceOrder, lambda *_: iter(()))
                with pytest.raises(GatewayUnavailable, match="what-if"):
                    await desk.what_if(resting("w-1"))
            assert (await desk.what_if(resting("w-2"))).initial_margin_change is not None

    run(scenario())


def test_a_snapshot_tells_the_next_order_id() -> None:
    """Every id that reached the Gateway lies below it, those of finished orders too."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            before = (await desk.port.snapshot()).next_order_id
            order_ids = [await desk.place(resting("n-1")), await desk.place(submit("n-2"))]
            await desk.status(order_ids[1], "Filled")
            snapshot = await desk.port.snapshot()
            assert 0 < before <= order_ids[0]
            assert snapshot.next_order_id > max(order_ids)
            assert desk.port.next_order_id(1) > max(order_ids)

    run(scenario())


def test_a_next_order_id_that_is_not_told_is_0_and_a_late_one_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number from before could lie below an order that was sent since: it would be taken for one that never arrived."""
    monkeypatch.setattr(ibkr, "NEXT_ID_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            answer = HANDLERS[requests.ReqIds]
            monkeypatch.setitem(HANDLERS, requests.ReqIds, lambda *_: iter(()))
            assert (await desk.port.snapshot()).next_order_id == 0
            client = gateway.state.clients[CLIENT_ID]
            stale = list(answer(gateway.state, client, requests.ReqIds(1)))
            order_id = await desk.place(resting("l-1"))
            await desk.status(order_id, "Submitted")

            def late(*told: Any) -> Iterator[Any]:
                yield from stale
                yield from answer(*told)

            monkeypatch.setitem(HANDLERS, requests.ReqIds, late)
            assert (await desk.port.snapshot()).next_order_id > order_id

    run(scenario())


class Interrupted(IBKRBrokerAdapter):
    """Loses its session, and has another one, before it asks for executions and after it has asked for positions."""

    async def _ask_for_executions(self, gathered: Gathered) -> bool:
        await self._again()
        return await super()._ask_for_executions(gathered)

    async def _ask(self, key: str, make: Callable[[IB], Awaitable[T]]) -> T:
        listed = await super()._ask(key, make)
        if key == "positions":
            await self._again()
        return listed

    async def _again(self) -> None:
        await self.close()
        await self.connect(CLIENT_ID)


def test_lists_are_of_one_session() -> None:
    """Of two, the first's orders and the second's executions would be set against each other: such lists are none."""

    async def scenario() -> None:
        async with (
            standing_in() as settings,
            trading(Interrupted(settings, clock=SYSTEM_CLOCK)) as desk,
        ):
            for number, ask in enumerate((desk.port.snapshot, desk.port.positions)):
                with pytest.raises(GatewayUnavailable, match="session"):
                    await ask()
                assert desk.port.session == 2 + number, "the lists themselves have all come"

    run(scenario())


def test_executions_that_are_never_ended_are_told_as_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is there; what is missing may have happened all the same."""
    monkeypatch.setattr(ibkr, "EXECUTIONS_TIMEOUT_S", 0.3)

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            order_id = await desk.place(submit("e-1"))
            await desk.status(order_id, "Filled")
            assert (await desk.port.snapshot()).executions_complete
            acts.command(gateway.state, verbs.OmitEnds(ends=("ExecDetailsEnd",)))
            snapshot = await desk.port.snapshot()
            assert not snapshot.executions_complete
            assert [one.order_ref for one in snapshot.executions] == ["e-1"]

    run(scenario())


def test_a_completed_order_is_listed_whole() -> None:
    """What for and how many, though IBKR writes only what was left of it."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            cancelled, filled = await desk.place(resting("d-1")), await desk.place(submit("d-2", side=Side.SELL))
            await desk.status(cancelled, "Submitted")
            acts.command(gateway.state, verbs.Fill(client_id=CLIENT_ID, order_id=cancelled, quantity=Decimal(4)))
            await desk.executed("d-1")
            await desk.port.cancel(cancelled, session=desk.port.session)
            await desk.status(cancelled, "Cancelled")
            await desk.status(filled, "Filled")
            listed = {one.order_ref: one for one in (await desk.port.snapshot()).completed_orders}
            told = {name: (one.symbol, one.side, one.quantity, one.status) for name, one in listed.items()}
            assert told == {"d-1": ("AAPL", "BUY", 10, "Cancelled"), "d-2": ("AAPL", "SELL", 10, "Filled")}
            assert {one.account for one in listed.values()} == {desk.port.account}

    run(scenario())


def test_positions_are_asked_for_anew() -> None:
    """What changed while nobody was told is in the list: ib_async's own memory of it is not."""

    async def scenario() -> None:
        holding = Holding(symbol="MSFT", quantity=Decimal(-5), average_cost=Decimal("300.25"))
        async with at_a_gateway(holdings=(holding,)) as (gateway, desk):
            [held] = await desk.port.positions()
            assert (held.symbol, held.quantity, held.average_cost) == ("MSFT", -5, Decimal("300.25"))
            assert (held.security_type, held.currency, held.account) == ("STK", "USD", desk.port.account)
            gateway.state.portfolio.of(
                gateway.state.clients[CLIENT_ID]
            ).positions = False  # it tells no changes any more
            await desk.place(submit("h-1"))
            await desk.executed("h-1")
            assert {one.symbol: one.quantity for one in await desk.port.positions()} == {"MSFT": -5, "AAPL": 10}

    run(scenario())


def test_the_accounts_profit_and_that_of_each_position_are_told() -> None:
    """The account's under contract id 0; a position's with its price and value."""

    async def scenario() -> None:
        holding = Holding(symbol="MSFT", quantity=Decimal(5), average_cost=Decimal("1.00"))
        async with at_a_gateway(holdings=(holding,)) as (_, desk):
            desk.port.next_order_id(1)
            await desk.port.positions()
            account = await desk.hears(PnlReported, lambda one: one.con_id == 0)
            assert account.account == desk.port.account
            assert account.unrealized is not None
            position = await desk.hears(PnlReported, lambda one: one.symbol == "MSFT")
            assert position.con_id == (await desk.port.terms(MSFT)).con_id
            assert position.market_price is not None
            assert position.market_value == 5 * position.market_price
            assert position.unrealized == position.market_value - 5
            assert position.daily is None
            await desk.hears(AccountValueReported, lambda one: one.tag == "NetLiquidation")

    run(scenario())


def test_profits_are_told_in_the_next_session_too() -> None:
    """The subscription is the session's, made once in each; and its request bears no order's id."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            order_id = desk.port.next_order_id(
                500
            )  # given out, and perhaps journalled, though the Gateway knows nothing of it
            await desk.port.close()
            desk.heard.clear()
            await desk.port.connect(CLIENT_ID)
            desk.port.next_order_id(501)
            for _ in range(2):
                await desk.port.positions()
            await desk.hears(PnlReported, lambda one: one.con_id == 0)
            [request_id] = gateway.state.portfolio.of(gateway.state.clients[CLIENT_ID]).pnl
            assert request_id > order_id

    run(scenario())


def test_before_the_first_order_id_is_drawn_no_request_bears_an_id() -> None:
    """The counter may still lie below the journal's orders: a code about such a request would be heard as one of theirs."""

    async def scenario() -> None:
        async with at_a_gateway() as (gateway, desk):
            await desk.port.positions()
            heard = [str(said.content[0]) for said in gateway.state.journal.messages if isinstance(said.content, tuple)]
            assert set(heard) <= WITHOUT_ID
            desk.port.next_order_id(500)
            await desk.port.positions()
            await desk.hears(PnlReported, lambda one: one.con_id == 0)
            [request_id] = gateway.state.portfolio.of(gateway.state.clients[CLIENT_ID]).pnl
            assert request_id > 500

    run(scenario())


def test_changes_of_positions_are_told_by_themselves() -> None:
    """With every fill, without being asked for."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            await desk.place(submit("v-1"))
            changed = await desk.hears(PositionReported, lambda one: one.symbol == "AAPL")
            assert changed.quantity == 10

    run(scenario())


def test_capacity_is_what_the_limit_leaves() -> None:
    """A what-if and the lists of a snapshot take of it as an order does."""

    async def scenario() -> None:
        async with at_a_gateway() as (_, desk):
            port = desk.port
            await port.terms(AAPL)
            asked = await desk.placement(resting("y-1"))
            limit = settings_for(1).broker.requests_per_s
            await eventually(lambda: port.capacity() == limit, within_s=3, what="a quiet second")
            await port.room()
            assert port.capacity() == limit - 1
            await port.what_if(asked, sent=lambda: None)
            assert port.capacity() == limit - 2
            await port.snapshot()
            assert port.capacity() == limit - 6
            while port.capacity():
                await port.room()
            started = SYSTEM_CLOCK.monotonic()
            await port.room()
            assert SYSTEM_CLOCK.monotonic() > started

    run(scenario())
