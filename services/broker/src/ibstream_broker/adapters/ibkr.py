"""Orders to a Gateway: the broker's connection, with an unmodified ib_async.

Orders go out through ib_async's client and in IBKR's own forms (`ibkr_orders`); what happens to them is heard before the library
makes its own sense of it (`ibkr_hearing`) and told in the broker's words (`ibkr_inputs`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec
import structlog

from ibstream.contracts.instrument import Instrument, label
from ibstream.contracts.orders import Reason
from ibstream.ibkr import GatewayUnavailable, RequestFailed
from ibstream.ibkr.contracts import KEPT_MAX, AmbiguousInstrument, ContractBook, InstrumentError, UnknownInstrument
from ibstream.ibkr.session import IbkrSession, SessionOptions
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.settings import Settings
from ibstream_broker.adapters import ibkr_inputs
from ibstream_broker.adapters.ibkr_hearing import Gathered, Hearing
from ibstream_broker.adapters.ibkr_orders import ib_order, what_if_order
from ibstream_broker.domain.checks.instruments import wrong_with_combo
from ibstream_broker.domain.inputs import PositionReported, Snapshot
from ibstream_broker.ports import InstrumentRefused, OnInput, Placement, Preview, Terms

if TYPE_CHECKING:
    from ib_async import IB, Contract

T = TypeVar("T")

RECONNECT_DELAYS_S = (2.0, 4.0, 8.0)
"""The waits of `_ensure_connected`, one per try."""

EXECUTIONS_TIMEOUT_S = 10.0
"""A Gateway was seen to answer a request for executions without ever ending the answer; what came by then is used."""

NEXT_ID_TIMEOUT_S = 5.0
"""Without an answer a snapshot does not say which order ids were used."""

WHAT_IF_TIMEOUT_S = 10.0
"""A Gateway can leave a what-if unanswered, as it does other requests."""

_log = structlog.get_logger(__name__)


class IBKRBrokerAdapter:
    """The broker's connection: orders, executions, positions and the account."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        options = SessionOptions(service="broker", requests_per_s=settings.broker.requests_per_s, account_updates=True)
        self._clock = clock
        self._hearing = Hearing(lambda: self._session.account, clock=clock)
        self._session = IbkrSession(settings, options, clock=clock, on_error=self._hearing.on_code)
        self._contracts = ContractBook(self._session)
        self._terms: dict[Instrument, Terms] = {}
        self._client_id = 0
        self._highest_order_id = 0
        self._lifted_in = 0
        """The session in which the counter of ids was lifted above the journal's orders."""
        self._pnl_followed_in = 0
        self._connecting = asyncio.Lock()
        self._snapshotting = asyncio.Lock()

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
        return self._session.count

    def listen(self, on_input: OnInput) -> None:
        """Tell where inputs go."""
        self._hearing.on_input = on_input

    async def connect(self, client_id: int) -> None:
        """Make the session, in one try; the supervisor makes the next."""
        self._client_id = client_id
        async with self._connecting:
            if self._session.connected:
                return
            self._hearing.begin(client_id)
            await self._session.connect(client_id, self._hearing.tap)
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

    async def terms(self, instrument: Instrument) -> Terms:
        """Look an instrument up, once: what can be known of it does not change while it is traded."""
        _refuse_malformed(instrument)
        await self._ensure_connected()
        try:
            found = await self._look_up(instrument)
        except UnknownInstrument as error:
            raise InstrumentRefused(Reason.UNKNOWN_INSTRUMENT, str(error)) from error
        except AmbiguousInstrument as error:
            raise InstrumentRefused(Reason.AMBIGUOUS_INSTRUMENT, str(error)) from error
        except (RequestFailed, TimeoutError) as error:
            raise GatewayUnavailable(f"{label(instrument)} could not be looked up: {error}") from error
        self._terms[instrument] = found
        if len(self._terms) > KEPT_MAX:
            del self._terms[next(iter(self._terms))]
        return found

    def known_terms(self, instrument: Instrument) -> Terms | None:
        """The terms as they were looked up; asks nobody."""
        return self._terms.get(instrument)

    def capacity(self) -> int:
        """How many messages the limit leaves room for now. There is no other queue: ib_async's own is switched off."""
        return self._session.free()

    async def room(self) -> None:
        """Return when a message may go out: in a queue it could grow old, or outlive the link to IBKR."""
        await self._session.room()

    def next_order_id(self, at_least: int) -> int:
        """The next of ib_async's counter, which requests share, lifted to `at_least`."""
        client = self._session.ib.client
        client.updateReqId(at_least)
        self._highest_order_id = client.getReqId()
        self._lifted_in = self.session
        return self._highest_order_id

    async def place(self, placement: Placement, *, session: int) -> None:
        """Send a new order. A session made meanwhile is another one: it has not been reconciled yet."""
        await self._send(placement, session=session)

    async def modify(self, placement: Placement, *, session: int) -> None:
        """Send a working order again, changed; to IBKR it is the same message, so in another session it could be a new order.

        Whether it was held back when it was new is no longer the question: an order that works cannot be held (105).
        """
        await self._send(msgspec.structs.replace(placement, transmit=True), session=session)

    async def cancel(self, order_id: int, *, session: int) -> None:
        """Ask to end an order."""
        await self._ensure_connected()
        self._check(session)
        self._session.ib.client.cancelOrder(order_id, "")

    async def what_if(self, placement: Placement, *, sent: Callable[[], None]) -> Preview:
        """Ask what an order would do; takes its room itself."""
        await self._ensure_connected()
        order_id = placement.order_id
        contract, order = await self._find(placement.request.instrument), what_if_order(placement)

        def ask(ib: IB) -> Awaitable[Preview]:
            answer = self._hearing.expect_preview(order_id)
            ib.client.placeOrder(order_id, contract, order)
            sent()
            return answer

        try:
            return await self._session.request(ask, timeout_s=WHAT_IF_TIMEOUT_S)
        except TimeoutError as error:
            raise GatewayUnavailable(f"the what-if was not answered: {error}") from error
        finally:
            self._hearing.forget_preview(order_id)

    async def snapshot(self) -> Snapshot:
        """Open orders of every client, today's completed ones, today's executions, and last the next order id.

        In this order: an order sent meanwhile is then below the id, and merely not listed yet. All in one session.
        """
        async with self._snapshotting:  # what comes in belongs to one of them: the other would find orders missing
            await self._ensure_connected()
            session = self.session
            gathered = self._hearing.gather()
            try:
                await self._ask("openOrders", lambda ib: ib.reqAllOpenOrdersAsync())
                await self._ask("completedOrders", lambda ib: ib.reqCompletedOrdersAsync(apiOnly=False))
                is_complete = await self._ask_for_executions(gathered)
                next_order_id = await self._ask_for_next_id()
            finally:
                self._hearing.stop_gathering()
        self._check_listed(session)
        return Snapshot(
            open_orders=list(gathered.open_orders.values()),
            completed_orders=gathered.completed_orders,
            executions=gathered.executions,
            commissions=gathered.commissions,
            next_order_id=next_order_id,
            executions_complete=is_complete,
        )

    async def positions(self) -> list[PositionReported]:
        """All positions of the account, asked for anew: what ib_async keeps does not know what it missed.

        The first time in a session, profits are subscribed with them: before `next_order_id` no request may bear an id.
        """
        await self._ensure_connected()
        session = self.session
        await self._follow_pnl()
        listed = await self._ask("positions", lambda ib: ib.reqPositionsAsync())
        self._check_listed(session)
        latest = {one.contract.conId: one for one in listed if one.account == self.account}  # a change may come between
        told = (ibkr_inputs.position(one.account, one.contract, one.position, one.avgCost) for one in latest.values())
        return [one for one in told if one.quantity]

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

    def _check(self, session: int) -> None:
        """A session made meanwhile is another one: its orders and ids have not been reconciled yet."""
        if session != self.session:
            raise GatewayUnavailable("not sent: the session for which it was meant has ended")

    def _check_listed(self, session: int) -> None:
        """While a list waited for its room the session may have ended, and another one have been made."""
        if session != self.session:
            raise GatewayUnavailable("the session ended while the lists came: they would be of two sessions")

    async def _send(self, placement: Placement, *, session: int) -> None:
        """Write it to the socket. Raises only before: whatever happens to the bytes after that is for the session to tell."""
        await self._ensure_connected()
        contract = await self._find(placement.request.instrument)
        order = ib_order(placement)
        self._check(session)
        self._session.ib.client.placeOrder(placement.order_id, contract, order)

    async def _find(self, instrument: Instrument) -> Contract:
        """The contract, which `terms` has looked up before: whatever is wrong with it now, nothing has been sent."""
        try:
            return await self._contracts.for_order(instrument)
        except (InstrumentError, RequestFailed, TimeoutError) as error:
            raise GatewayUnavailable(f"{label(instrument)} could not be looked up: {error}") from error

    async def _look_up(self, instrument: Instrument) -> Terms:
        if instrument.security_type == "BAG":
            return ibkr_inputs.terms_of_combo([await self._look_up_one(leg.instrument) for leg in instrument.legs])
        return await self._look_up_one(instrument)

    async def _look_up_one(self, instrument: Instrument) -> Terms:
        details = await self._contracts.details(instrument)
        return ibkr_inputs.terms_of(details, await self._contracts.increments(details))

    async def _follow_pnl(self) -> None:
        """Subscribe the account's profit and loss once per session, under an id of its own.

        Not before the ids are lifted: a code about the request would be heard as one about the order of the journal whose id
        it bears.
        """
        if self._lifted_in != self.session or self._pnl_followed_in == self.session:
            return
        await self._session.room()
        if self._lifted_in != self.session or self._pnl_followed_in == self.session:  # meanwhile
            return
        client = self._session.ib.client
        client.reqPnL(client.getReqId(), self.account, "")
        self._pnl_followed_in = self.session

    async def _ask_for_executions(self, gathered: Gathered) -> bool:
        """Whether the list was ended."""
        try:
            await self._session.request_alone(
                "executions", lambda ib: ib.reqExecutionsAsync(), timeout_s=EXECUTIONS_TIMEOUT_S
            )
        except TimeoutError:
            _log.warning("broker.executions_without_end", received=len(gathered.executions))
            return False
        except RequestFailed as error:
            raise GatewayUnavailable(f"executions: {error}") from error
        return True

    async def _ask_for_next_id(self) -> int:
        """The Gateway's next order id; 0 where it does not say."""

        def ask(ib: IB) -> Awaitable[int]:
            answer = self._hearing.expect_next_id()
            ib.client.reqIds(1)
            return answer

        try:
            return await self._session.request_alone("nextValidId", ask, timeout_s=NEXT_ID_TIMEOUT_S)
        except TimeoutError as error:
            _log.warning("broker.next_order_id_unknown", reason=str(error))
            return 0
        finally:
            self._hearing.forget_next_id()

    async def _ask(self, key: str, make: Callable[[IB], Awaitable[T]]) -> T:
        try:
            return await self._session.request_alone(key, make)
        except (RequestFailed, TimeoutError) as error:
            raise GatewayUnavailable(f"{key}: {error}") from error


def _refuse_malformed(instrument: Instrument) -> None:
    wrong = wrong_with_combo(instrument) if instrument.security_type == "BAG" else None
    if wrong is not None:
        raise InstrumentRefused(Reason.INVALID_INSTRUMENT, f"{label(instrument)}: {wrong}")
