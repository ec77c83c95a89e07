"""Orders answered with fixed demo data: every order fills at once, whole, at its limit or at 100.00.

For trying a strategy's plumbing. Nothing rests, nothing is refused for its price, groups hold nothing back: what needs a market
needs the simulated provider.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from decimal import Decimal

import msgspec

from ibstream.contracts.base import Side
from ibstream.contracts.instrument import Instrument, label
from ibstream.contracts.orders import SubmitOrder
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent, Trigger
from ibstream.simulation.recent import Recent
from ibstream_broker.adapters.coded import code_reported
from ibstream_broker.adapters.order_ids import OrderIds
from ibstream_broker.domain.exposure import leg_side
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CommissionReported,
    Executed,
    OrderSeen,
    PnlReported,
    PositionReported,
    Snapshot,
    StatusReported,
)
from ibstream_broker.ports import OnInput, Placement, Preview, Terms

ACCOUNT = "STUB"
PRICE = Decimal("100.00")
COMMISSION = Decimal("1.00")
CASH = Decimal("1000000.00")
MARGIN = Decimal("500.00")
"""What every what-if says that an order binds."""
CURRENCY = "USD"
TICK = Decimal("0.01")
CAPACITY = 1_000_000
"""Messages that may go out at once: nothing limits them."""
ORDERS_KEPT = 10_000
"""Orders that a snapshot still lists, and executions and commissions for each kind of them."""

_DUPLICATE = 103, "Duplicate order id"
_FILLED_ALREADY = 104, "Cannot modify a filled order."
_UNKNOWN = 135
_NOT_FOUND, _NOT_CANCELLABLE = 10147, 10148


class PaperStubBroker:
    """Knows every instrument, fills every order, and forgets all of it with the process."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._order_ids = OrderIds()
        self._ended: asyncio.Event | None = None
        self._on_input: OnInput = lambda _: None
        self._client_id = 0
        self._executions: Recent[str, Executed] = Recent(ORDERS_KEPT)
        self._commissions: Recent[str, CommissionReported] = Recent(ORDERS_KEPT)
        self._completed: Recent[int, OrderSeen] = Recent(ORDERS_KEPT)
        self._terms: Recent[Instrument, Terms] = Recent(ORDERS_KEPT)
        self._positions: dict[int, PositionReported] = {}
        self.session = 0
        self.gateway = ""
        self.account = ACCOUNT

    def listen(self, on_input: OnInput) -> None:
        """Tell where inputs go."""
        self._on_input = on_input

    async def connect(self, client_id: int) -> None:
        """Report the fixed account."""
        await self.close()
        self._client_id = client_id
        self._ended = asyncio.Event()
        self.session += 1
        self._on_input(AccountValueReported(account=ACCOUNT, tag="NetLiquidation", value=str(CASH), currency=CURRENCY))
        nothing = Decimal("0.00")
        self._on_input(PnlReported(account=ACCOUNT, daily=nothing, unrealized=nothing, realized=nothing))

    async def next_event(self) -> ConnectionEvent:
        """Nothing happens to it before `close`."""
        if self._ended is not None:
            await self._ended.wait()
        return ConnectionEvent(Trigger.LOST, "closed")

    async def close(self) -> None:
        """End the session."""
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    async def health_check(self) -> bool:
        """Whether it is connected."""
        return self._ended is not None

    async def terms(self, instrument: Instrument) -> Terms:
        """Every instrument, on the cent; its contract id is made of its name."""
        self._require_session()
        known = self._terms.get(instrument)
        if known is None:
            known = Terms(con_id=_con_id(instrument), increments=((Decimal(0), TICK),))
            self._terms.put(instrument, known)
        return known

    def known_terms(self, instrument: Instrument) -> Terms | None:
        """Those of the last 10,000 instruments that were looked up."""
        return self._terms.get(instrument)

    def capacity(self) -> int:
        """Always the same: `CAPACITY`."""
        return CAPACITY

    async def room(self) -> None:
        """There always is."""

    def next_order_id(self, at_least: int) -> int:
        """The next number."""
        self._require_session()
        return self._order_ids.take(at_least)

    async def place(self, placement: Placement, *, session: int) -> None:
        """Fill it, whatever it hangs together with."""
        self._require_session(session)
        order_id, request = placement.order_id, placement.request
        self._order_ids.use(order_id)
        if order_id in self._completed:
            self._on_input(code_reported(order_id, *_DUPLICATE))
            return
        seen = self._seen(order_id, request)
        self._completed.put(order_id, seen)
        self._on_input(seen)
        executed = self._execute(order_id, request)
        self._on_input(StatusReported(order_id=order_id, perm_id=order_id, status="Filled", filled=request.quantity))
        for one in executed:
            self._charge(one)
            self._hold(one)

    async def modify(self, placement: Placement, *, session: int) -> None:
        """Nothing is ever left to modify, and a code says so."""
        self._require_session(session)
        order_id = placement.order_id
        gone = order_id in self._completed
        why = _FILLED_ALREADY if gone else (_UNKNOWN, f"Can't find order with id ={order_id}")
        self._on_input(code_reported(order_id, *why))

    async def cancel(self, order_id: int, *, session: int) -> None:
        """Nothing is ever left to cancel, and a code says so."""
        self._require_session(session)
        about = f"OrderId {order_id} that needs to be cancelled"
        if order_id in self._completed:
            told = code_reported(order_id, _NOT_CANCELLABLE, f"{about} cannot be cancelled, state: Filled.")
        else:
            told = code_reported(order_id, _NOT_FOUND, f"{about} is not found.")
        self._on_input(told)

    async def what_if(self, placement: Placement, *, sent: Callable[[], None]) -> Preview:  # noqa: ARG002 - all are alike
        """The same for every order."""
        self._require_session()
        sent()
        return Preview(
            initial_margin_change=MARGIN,
            initial_margin_after=MARGIN,
            maintenance_margin_change=MARGIN,
            maintenance_margin_after=MARGIN,
            equity_with_loan_change=-COMMISSION,
            equity_with_loan_after=CASH - COMMISSION,
            commission=COMMISSION,
            commission_min=COMMISSION,
            commission_max=COMMISSION,
            commission_currency=CURRENCY,
        )

    async def snapshot(self) -> Snapshot:
        """The last of what was filled since the process started."""
        self._require_session()
        return Snapshot(
            open_orders=[],
            completed_orders=list(self._completed),
            executions=list(self._executions),
            commissions=list(self._commissions),
            next_order_id=self._order_ids.next,
            volatile=True,
        )

    async def positions(self) -> list[PositionReported]:
        """What the fills add up to, each at the price of its last."""
        self._require_session()
        return [one for one in self._positions.values() if one.quantity]

    def _require_session(self, session: int | None = None) -> None:
        if self._ended is None:
            raise GatewayUnavailable("the stub is not connected")
        if session is not None and session != self.session:
            raise GatewayUnavailable(f"session {session}, in which this was decided, has ended; nothing was sent")

    def _seen(self, order_id: int, request: SubmitOrder) -> OrderSeen:
        return OrderSeen(
            order_ref=request.client_order_id,
            order_id=order_id,
            perm_id=order_id,
            status="Filled",
            quantity=request.quantity,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            time_in_force=request.time_in_force.value,
            client_id=self._client_id,
            symbol=request.instrument.symbol,
            side=request.side,
            account=ACCOUNT,
        )

    def _execute(self, order_id: int, request: SubmitOrder) -> list[Executed]:
        """The order's execution and those of a combo's legs. Returned are those that cost and change a position."""
        stem = f"stub.{self._clock.time_ns():x}.{order_id:x}"
        price = PRICE if request.limit_price is None else request.limit_price
        own = self._executed(f"{stem}.01.01", order_id, request, request.instrument, price)
        legs = []
        for number, leg in enumerate(request.instrument.legs, start=2):
            side = leg_side(request.side, leg.side)
            turned = msgspec.structs.replace(request, side=side, quantity=request.quantity * leg.ratio)
            legs.append(self._executed(f"{stem}.01.{number:02d}.01", order_id, turned, leg.instrument, PRICE))
        return legs or [own]

    def _executed(
        self, exec_id: str, order_id: int, request: SubmitOrder, instrument: Instrument, price: Decimal
    ) -> Executed:
        executed = Executed(
            exec_id=exec_id,
            order_ref=request.client_order_id,
            order_id=order_id,
            perm_id=order_id,
            symbol=instrument.symbol,
            side=request.side,
            quantity=request.quantity,
            price=price,
            account=ACCOUNT,
            exchange="STUB",
            executed_at=self._clock.now(),
            con_id=_con_id(instrument),
            security_type=instrument.security_type,
        )
        self._executions.put(exec_id, executed)
        self._on_input(executed)
        return executed

    def _charge(self, executed: Executed) -> None:
        charged = CommissionReported(exec_id=executed.exec_id, commission=COMMISSION, currency=CURRENCY)
        self._commissions.put(executed.exec_id, charged)
        self._on_input(charged)

    def _hold(self, executed: Executed) -> None:
        known = self._positions.get(executed.con_id)
        before = Decimal(0) if known is None else known.quantity
        held = PositionReported(
            account=ACCOUNT,
            con_id=executed.con_id,
            symbol=executed.symbol,
            security_type=executed.security_type,
            currency=CURRENCY,
            quantity=before + (executed.quantity if executed.side is Side.BUY else -executed.quantity),
            average_cost=executed.price,
        )
        self._positions[executed.con_id] = held
        self._on_input(held)


def _con_id(instrument: Instrument) -> int:
    """Always the same for one name, however it is routed; 0 for a combo."""
    if instrument.security_type == "BAG":
        return 0
    return 1 + zlib.crc32(f"{label(instrument)} {instrument.currency} {instrument.security_type}".encode())
