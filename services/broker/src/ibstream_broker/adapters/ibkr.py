"""Orders to a Gateway, and raw callbacks from it.

ib_async's `Trade` objects are not used: their status is changed by codes that mean something else (10349 makes a live order
`Cancelled`). The wrapper's methods are tapped instead, and orders go out through the client, so that the broker's own state
machine hears everything exactly as IBKR said it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderType, Reason, Side, SubmitOrder
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.codes import CodeClass, Verdict, classify, order_verdict
from ibstream.ibkr.contracts import (
    AmbiguousInstrument,
    ContractBook,
    InstrumentError,
    UnknownInstrument,
    from_ib_symbol,
)
from ibstream.ibkr.session import IbkrSession, SessionOptions
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.settings import Settings
from ibstream_broker.domain.inputs import (
    AccountValueReported,
    CodeReported,
    CommissionReported,
    Executed,
    OrderSeen,
    PositionReported,
    Snapshot,
    StatusReported,
)
from ibstream_broker.ports import InstrumentRefused, OnInput, Terms

if TYPE_CHECKING:
    from ib_async import IB, CommissionReport, Contract, Execution, Order, OrderState

T = TypeVar("T")

RECONNECT_DELAYS_S = (2.0, 4.0, 8.0)
"""The waits of `_ensure_connected`, one per try."""

EXECUTIONS_TIMEOUT_S = 10.0
"""A Gateway was seen to answer a request for executions without ever ending the answer; what came by then is used."""

UNSET = Decimal("1.7e308")
"""IBKR writes numbers it does not have as the greatest double, 1.797e308."""

_TAPPED = (
    *("openOrder", "orderStatus", "execDetails", "commissionReport", "completedOrder"),
    *("position", "updateAccountValue"),
)

_log = structlog.get_logger(__name__)


@dataclass
class _Gathered:
    """What came in while a snapshot was being taken."""

    open_orders: dict[tuple[int, int], OrderSeen] = field(default_factory=dict)
    """By permanent id and order id, as shown last: an order that changes meanwhile is shown again."""
    completed_orders: list[OrderSeen] = field(default_factory=list)
    executions: list[Executed] = field(default_factory=list)
    commissions: list[CommissionReported] = field(default_factory=list)


class IBKRBrokerAdapter:
    """The broker's connection: orders, executions, positions and the account."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        options = SessionOptions(service="broker", requests_per_s=settings.broker.requests_per_s, account_updates=True)
        self._clock = clock
        self._session = IbkrSession(settings, options, clock=clock, on_error=self._on_code)
        self._contracts = ContractBook(self._session)
        self._client_id = 0
        self._sessions = 0
        self._highest_order_id = 0
        self._connecting = asyncio.Lock()
        self._snapshotting = asyncio.Lock()
        self._on_input: OnInput = lambda _: None
        self._gathered: _Gathered | None = None

    @property
    def gateway(self) -> str:
        """`host:port` of the Gateway."""
        return self._session.address

    @property
    def account(self) -> str:
        """The account this session trades."""
        return self._session.account

    @property
    def session(self) -> int:
        """Counts the sessions."""
        return self._sessions

    def listen(self, on_input: OnInput) -> None:
        """Tell where inputs go."""
        self._on_input = on_input

    async def connect(self, client_id: int) -> None:
        """Make the session, in one try; the supervisor makes the next."""
        self._client_id = client_id
        async with self._connecting:
            if not self._session.connected:
                await self._session.connect(client_id, self._tap)
                self._sessions += 1
                self._session.ib.client.updateReqId(self._highest_order_id + 1)  # no request may bear an order's id

    async def next_event(self) -> ConnectionEvent:
        """What happens next to the session."""
        return await self._session.next_event()

    async def close(self) -> None:
        """End the session."""
        await self._session.close()

    async def health_check(self) -> bool:
        """True only on a live session that answers now."""
        return self._session.connected and await self._session.answers()

    async def _ensure_connected(self) -> None:
        """Return with a session: the one there is, or one made within three tries, after waits of 2, 4 and 8 s.

        Raises `ConnectionError` after the last. One connect is under way at a time, whoever asked for it.
        """
        if self._session.connected:
            return
        if not self._client_id:
            raise GatewayUnavailable("the broker holds no client id")
        for delay_s in RECONNECT_DELAYS_S:
            await self._clock.sleep(delay_s)
            try:
                await self.connect(self._client_id)
            except GatewayUnavailable as error:
                _log.warning("ibkr_gateway.not_connected", gateway=self.gateway, reason=str(error))
            else:
                return
        raise GatewayUnavailable(f"no session with the Gateway at {self.gateway} after {len(RECONNECT_DELAYS_S)} tries")

    async def terms(self, instrument: Instrument) -> Terms:
        """Look an instrument up, once."""
        await self._ensure_connected()
        try:
            details = await self._contracts.details(instrument)
        except UnknownInstrument as error:
            raise InstrumentRefused(Reason.UNKNOWN_INSTRUMENT, str(error)) from error
        except AmbiguousInstrument as error:
            raise InstrumentRefused(Reason.AMBIGUOUS_INSTRUMENT, str(error)) from error
        except (RequestFailed, TimeoutError) as error:
            raise GatewayUnavailable(f"{instrument.symbol} could not be looked up: {error}") from error
        contract = details.contract
        assert contract is not None  # noqa: S101 - IBKR's details always carry it
        return Terms(con_id=contract.conId, price_tick=Decimal(str(details.minTick)))

    async def room(self) -> None:
        """Return when a message may go out: in ib_async's own queue it could grow old, or outlive the link to IBKR."""
        await self._session.room()

    def next_order_id(self, at_least: int) -> int:
        """The next of ib_async's counter, which requests share, lifted to `at_least`."""
        client = self._session.ib.client
        client.updateReqId(at_least)
        self._highest_order_id = client.getReqId()
        return self._highest_order_id

    async def place(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:
        """Send a new order. A session made meanwhile is another one: it has not been reconciled yet."""
        await self._ensure_connected()
        contract = await self._find(request.instrument)
        if session != self._sessions:
            raise GatewayUnavailable("the session in which the order was accepted has ended")
        self._send(order_id, contract, request, account)

    async def modify(self, order_id: int, request: SubmitOrder, account: str, *, session: int) -> None:
        """Send a working order again, changed; never in a session that has not been reconciled."""
        await self._ensure_connected()
        contract = await self._find(request.instrument)
        if session != self._sessions:
            raise GatewayUnavailable("the session in which the order was seen working has ended")
        self._send(order_id, contract, request, account)

    async def cancel(self, order_id: int) -> None:
        """Ask to end an order."""
        await self._ensure_connected()
        self._session.ib.client.cancelOrder(order_id, "")

    async def snapshot(self) -> Snapshot:
        """Open orders of every client, today's completed ones, today's executions."""
        async with self._snapshotting:  # what comes in belongs to one of them: the other would find orders missing
            await self._ensure_connected()
            gathered = self._gathered = _Gathered()
            try:
                await self._ask("openOrders", lambda ib: ib.reqAllOpenOrdersAsync())
                await self._ask("completedOrders", lambda ib: ib.reqCompletedOrdersAsync(apiOnly=False))
                await self._ask_for_executions(gathered)
            finally:
                self._gathered = None
        return Snapshot(
            open_orders=list(gathered.open_orders.values()),
            completed_orders=gathered.completed_orders,
            executions=gathered.executions,
            commissions=gathered.commissions,
        )

    async def positions(self) -> list[PositionReported]:
        """All positions of the account, as synchronised at connect and kept up since."""
        await self._ensure_connected()
        return [
            _position(one.account, one.contract, one.position, one.avgCost)
            for one in self._session.ib.positions(self.account)
        ]

    async def _find(self, instrument: Instrument) -> Contract:
        """The contract, which `terms` has looked up before: whatever is wrong with it now, nothing has been sent."""
        try:
            return await self._contracts.find(instrument)
        except (InstrumentError, RequestFailed, TimeoutError) as error:
            raise GatewayUnavailable(f"{instrument.symbol} could not be looked up: {error}") from error

    def _send(self, order_id: int, contract: Contract, request: SubmitOrder, account: str) -> None:
        """Write it to the socket. Raises only before: whatever happens to the bytes after that is for the session to tell."""
        self._session.ib.client.placeOrder(order_id, contract, _order(order_id, request, account))

    async def _ask_for_executions(self, gathered: _Gathered) -> None:
        try:
            await self._session.request_alone(
                "executions", lambda ib: ib.reqExecutionsAsync(), timeout_s=EXECUTIONS_TIMEOUT_S
            )
        except TimeoutError:
            _log.warning("broker.executions_without_end", received=len(gathered.executions))
        except RequestFailed as error:
            raise GatewayUnavailable(f"executions: {error}") from error

    async def _ask(self, key: str, make: Callable[[IB], Awaitable[T]]) -> T:
        try:
            return await self._session.request_alone(key, make)
        except (RequestFailed, TimeoutError) as error:
            raise GatewayUnavailable(f"{key}: {error}") from error

    def _tap(self, ib: IB) -> None:
        """Hear each of the wrapper's callbacks before ib_async makes its own sense of it."""
        from ib_async.client import Client

        for name in _TAPPED:
            setattr(ib.wrapper, name, _tapped(getattr(self, f"_on_{name}"), getattr(ib.wrapper, name)))
        ib.client = Client(ib.wrapper)  # its decoder binds the wrapper's methods when it is made
        ib.client.apiEnd += ib.disconnectedEvent

    def _on_openOrder(self, order_id: int, _contract: Contract, order: Order, state: OrderState) -> None:  # noqa: N802
        if order.whatIf:
            return
        seen = OrderSeen(
            order_ref=order.orderRef,
            order_id=order_id if order.clientId == self._client_id else 0,
            perm_id=order.permId,
            status=state.status,
            quantity=_decimal(order.totalQuantity),
            limit_price=_decimal(order.lmtPrice),
            text=state.warningText or "",
        )
        if self._gathered is not None:
            self._gathered.open_orders[seen.perm_id, seen.order_id] = seen
        self._on_input(seen)

    def _on_completedOrder(self, _contract: Contract, order: Order, state: OrderState) -> None:  # noqa: N802
        if self._gathered is not None:
            self._gathered.completed_orders.append(
                OrderSeen(
                    order_ref=order.orderRef,
                    perm_id=order.permId,
                    status=state.status,
                    text=state.completedStatus.strip(),
                )
            )

    def _on_orderStatus(self, order_id: int, status: str, filled: float, *rest: Any) -> None:  # noqa: N802
        _remaining, _average, perm_id, _parent, _last, client_id, why_held, *_ = rest
        if client_id == self._client_id:
            self._on_input(
                StatusReported(
                    order_id=order_id,
                    perm_id=perm_id,
                    status=status,
                    filled=_decimal(filled) or Decimal(0),
                    why_held=why_held,
                )
            )

    def _on_execDetails(self, _request_id: int, contract: Contract, execution: Execution) -> None:  # noqa: N802
        executed = Executed(
            exec_id=execution.execId,
            order_ref=execution.orderRef,
            order_id=execution.orderId if execution.clientId == self._client_id else 0,
            perm_id=execution.permId,
            symbol=from_ib_symbol(contract.symbol),
            side=Side.BUY if execution.side == "BOT" else Side.SELL,
            quantity=_decimal(execution.shares) or Decimal(0),
            price=_decimal(execution.price) or Decimal(0),
            account=execution.acctNumber,
            exchange=execution.exchange,
            executed_at=self._when(execution.time),
        )
        if self._gathered is not None:
            self._gathered.executions.append(executed)
        self._on_input(executed)

    def _on_commissionReport(self, report: CommissionReport) -> None:  # noqa: N802
        commission = _decimal(report.commission)
        if commission is None:  # not known yet; taken for zero it would keep out the true one
            return
        reported = CommissionReported(
            exec_id=report.execId,
            commission=commission,
            currency=report.currency,
            realized_pnl=_decimal(report.realizedPNL),
        )
        if self._gathered is not None:
            self._gathered.commissions.append(reported)
        self._on_input(reported)

    def _on_position(self, account: str, contract: Contract, quantity: float, average_cost: float) -> None:
        self._on_input(_position(account, contract, quantity, average_cost))

    def _on_updateAccountValue(self, tag: str, value: str, currency: str, account: str) -> None:  # noqa: N802
        self._on_input(AccountValueReported(account=account, tag=tag, value=value, currency=currency))

    def _on_code(self, request_id: int, code: int, text: str) -> None:
        """Codes on ids that are no orders find no record and fall away; requests and orders share one counter."""
        if request_id <= 0 or classify(code, text) is CodeClass.BENIGN:
            return
        as_new = order_verdict(code, text, acknowledged=False)
        self._on_input(
            CodeReported(
                order_id=request_id,
                code=code,
                text=text,
                cancelled=as_new is Verdict.CANCELLED,
                dead_if_new=as_new is Verdict.DEAD,
                advice=as_new is Verdict.ALIVE,
            )
        )

    def _when(self, stamp: datetime | str) -> datetime:
        return stamp.astimezone(UTC) if isinstance(stamp, datetime) else self._clock.now()


def _tapped(ours: Callable[..., None], theirs: Callable[..., None]) -> Callable[..., None]:
    def both(*arguments: Any) -> None:
        ours(*arguments)
        theirs(*arguments)

    return both


def _order(order_id: int, request: SubmitOrder, account: str) -> Order:
    """IBKR's form of a request; tif and account always explicit, or presets of the Gateway decide."""
    from ib_async import Order

    order = Order(
        orderId=order_id,
        action=request.side.value,
        totalQuantity=int(request.quantity),
        orderType=request.order_type.value,
        tif=request.time_in_force.value,
        account=account,
        orderRef=request.client_order_id,
        outsideRth=request.outside_regular_hours,
        transmit=True,
    )
    if request.order_type is OrderType.LIMIT and request.limit_price is not None:
        order.lmtPrice = float(request.limit_price)
    return order


def _position(account: str, contract: Contract, quantity: float, average_cost: float) -> PositionReported:
    return PositionReported(
        account=account,
        con_id=contract.conId,
        symbol=from_ib_symbol(contract.symbol),
        security_type=contract.secType,
        currency=contract.currency,
        quantity=_decimal(quantity) or Decimal(0),
        average_cost=_decimal(average_cost) or Decimal(0),
    )


def _decimal(value: float | Decimal | None) -> Decimal | None:
    """A number as IBKR wrote it, None for its "unset"; through its shortest text, so 0.1 stays 0.1."""
    if value is None:
        return None
    exact = Decimal(str(value))
    if not exact.is_finite() or abs(exact) > UNSET:
        return None
    return Decimal(int(exact)) if exact == exact.to_integral_value() else exact
