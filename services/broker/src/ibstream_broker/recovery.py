"""Setting the journal against what IBKR says: after every connect, after every restored link, and again and again while ready.

Nothing is concluded from one list alone: an order that changed while the lists came is looked at once more. Orders that provably
never reached the Gateway are sent again, with the same id, once the gate is open. What is not ours is told, and never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ibstream.contracts.orders import ExternalOrder, OrderStatus, Side
from ibstream.contracts.system import ConnectionState
from ibstream.ibkr import GatewayUnavailable
from ibstream.runtime import metrics
from ibstream.runtime.backoff import exponential
from ibstream.runtime.faultpoints import fault_point
from ibstream.runtime.supervise import unless
from ibstream_broker.domain.exposure import ZERO
from ibstream_broker.domain.fate import Decision, Fate, fate, given_up
from ibstream_broker.domain.inputs import OrderSeen
from ibstream_broker.domain.reconcile import Reconciliation, orphaned, reconcile, session_lost
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.holdings import Holdings
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office
from ibstream_broker.resends import Resends

SOON_S = 5.0
"""How soon orders without a clear answer are looked up, while the session is ready; ever more rarely after that."""

ROUNDS_MAX = 3
"""How often in a row the lists are asked for because orders changed while they came."""

STRANGERS_KEPT_MAX = 10_000
"""Orders that are not ours, of which it is remembered what was told."""

_log = structlog.get_logger(__name__)


class Recovery:
    """Finds out where every order stands, and does what follows from it."""

    def __init__(
        self,
        office: Office,
        holdings: Holdings,
        *,
        interval_s: float,
        cancel: Callable[[str], None],
        settled: Callable[[], Awaitable[None]],
        look_again: Callable[[], None],
    ) -> None:
        """`cancel` lines up a cancel; `settled` returns when all that was heard before is journalled; `look_again` tells the
        desk that something has changed."""
        self._office = office
        self._holdings = holdings
        self._interval_s = interval_s
        self._cancel = cancel
        self._settled = settled
        self._look_again = look_again
        self._session = 0
        self._had_session = False
        self._floors: dict[int, int] = {}
        self._strangers: dict[int, str] = {}
        self._soon = asyncio.Event()
        self._missed = False
        self._to_cancel: list[str] = []
        self._resends = Resends(office)

    async def load(self) -> None:
        """Begin anew from the journal.

        What another broker left without an answer can still be provable; what was under way in a session of our own is not.
        """
        ledger = self._office.ledger
        unanswered = session_lost if self._had_session else orphaned
        self._session = 0
        self._floors = await ledger.persist(ledger.journal.floors)
        async with ledger.changing() as change:
            for record in ledger.book.open():
                change.step(unanswered(record, self._office.clock.now()))

    async def synchronise(self) -> None:
        """Compare every order that has no outcome with what IBKR says, and what is held. Then the gate opens.

        Raises a `RecoverableError` when the lists cannot be had.
        """
        office = self._office
        # Requests draw their ids from the same counter, and the Gateway's can go back: an answer to a request must never
        # bear the id of an order that waits to be resolved.
        office.port.next_order_id(office.ledger.order_id_high_water + 1)
        await self._holdings.of_account(office.port.account)
        await self._reconcile(is_connect=True)

    def on_ready(self) -> None:
        """The gate is open: what waited for it can be sent."""
        for client_order_id in self._to_cancel:
            self._cancel(client_order_id)
        self._to_cancel.clear()
        if self._resends.wait_for_gate:
            self._office.catching_up = True
            self._soon.set()

    def look_soon(self) -> None:
        """Inputs were dropped: the lists have them, and are not waited for until the next interval."""
        self._missed = True
        self._soon.set()

    async def run(self, stop: asyncio.Event) -> None:
        """While ready, reconcile every so often; soon where anything is unclear, or holdings are to be looked at again."""
        soon = exponential(min(SOON_S, self._interval_s), self._interval_s)
        waits = soon()
        unclear_before: set[str] = set()
        while not stop.is_set():
            unclear = {one.client_order_id for one in self._office.ledger.book.open() if one.is_unclear}
            if unclear - unclear_before:
                waits = soon()
            unclear_before = unclear
            wait_s = next(waits) if unclear or self._missed else self._interval_s
            await unless(stop, self._until_soon(wait_s))
            if not stop.is_set() and self._office.standing.state is ConnectionState.READY:
                try:
                    await unless(stop, self._reconcile(is_connect=False))
                except (ConnectionError, TimeoutError) as error:
                    _log.warning("broker.not_reconciled", unclear=len(unclear), error=str(error))
            self._office.catching_up = False
            self._look_again()

    async def _until_soon(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._soon.wait()
        except TimeoutError:
            return
        self._soon.clear()

    async def _reconcile(self, *, is_connect: bool) -> None:
        started = self._office.clock.monotonic()
        for number in range(ROUNDS_MAX):
            if not await self._round(is_connect=is_connect and number == 0):
                self._missed = False
                break
        else:
            self._missed = True
            _log.warning("broker.orders_in_motion")  # they are looked up again before long
        metrics.RECONCILE_SECONDS.observe(self._office.clock.monotonic() - started)

    async def _round(self, *, is_connect: bool) -> bool:
        """One set of lists against every open order. Returns whether some were too old for what has happened meanwhile."""
        office = self._office
        before = {record.client_order_id: record.revision for record in office.ledger.book.open()}
        await self._have_groups_at_hand()
        session = office.port.session
        snapshot = await office.port.snapshot()
        await self._settled()  # what was heard before the lists is older than they are, and must not seem newer
        fault_point("recovery.listed")
        if self._session != session:
            await self._begin_session(session, snapshot.next_order_id)
        if office.port.session != session:
            raise GatewayUnavailable("the session ended while its lists were looked at")
        lists = Reconciliation(snapshot, epoch=office.epoch)
        self._resends.wait_for_gate = False
        resend: list[OrderRecord] = []
        cancel: list[OrderRecord] = []
        async with office.ledger.changing() as change:
            ours = [one for one in office.ledger.book.open() if one.account in ("", office.port.account)]
            fit = [one for one in ours if before.get(one.client_order_id) == one.revision]
            missed = {one.client_order_id for one in ours if one.client_order_id in before} - {
                one.client_order_id for one in fit
            }
            decisions = {one.client_order_id: self._decide(one, lists) for one in fit}
            for record in fit:
                self._act(change, record, lists, decisions[record.client_order_id], resend, cancel)
            change.durable = bool(resend)
        fault_point("recovery.journalled")
        _log.info("broker.reconciled", orders=len(fit), missed=len(missed), resent=len(resend))
        await self._resends.send(resend)
        await self._tell_strangers(lists)
        await self._holdings.compare(snapshot, is_connect=is_connect)
        self._to_cancel += [record.client_order_id for record in cancel]
        if is_connect:
            self._to_cancel += [record.client_order_id for record in self._uncancelled(lists)]
        if office.standing.state is ConnectionState.READY:
            self.on_ready()
        return bool(missed)

    async def _begin_session(self, session: int, next_order_id: int) -> None:
        office = self._office
        office.epoch = await office.ledger.persist(lambda: office.ledger.journal.begin_session(next_order_id))
        self._floors[office.epoch] = next_order_id
        self._session = session
        self._had_session = True

    async def _have_groups_at_hand(self) -> None:
        """Members that have ended can be in the journal alone; what becomes of the others depends on them."""
        book = self._office.ledger.book
        members = {name for one in book.open() if one.link is not None for name in one.link.members if name not in book}
        if members:
            book.put_all(await self._office.ledger.load_all(sorted(members)))

    def _decide(self, record: OrderRecord, lists: Reconciliation) -> Decision:
        office = self._office
        known = self._floors.get(record.epoch, 0)
        floor = max(known, office.ledger.acknowledged_high_water + 1) if known else 0
        group = office.ledger.book.group_of(record)
        return fate(record, lists, office.clock.now(), floor=floor, group=group)

    def _act(
        self,
        change: Change,
        record: OrderRecord,
        lists: Reconciliation,
        decision: Decision,
        resend: list[OrderRecord],
        cancel: list[OrderRecord],
    ) -> None:
        now = self._office.clock.now()
        if decision.fate is Fate.REJECT:
            change.step(given_up(record, decision, now))
            return
        if decision.fate is Fate.RESEND:
            resend.extend(self._resends.stage(change, record))
            return
        change.step(reconcile(record, lists, now))
        after = change.now(record.client_order_id) or record
        if decision.fate is Fate.CANCEL and not after.is_final:
            cancel.append(after)
        if len(lists.twins(record)) > 1:
            _log.error(
                "broker.twin_orders", order=record.client_order_id, perm_ids=[o.perm_id for o in lists.twins(record)]
            )
            cancel.append(after)

    def _uncancelled(self, lists: Reconciliation) -> list[OrderRecord]:
        """Orders that work although their end was asked for: the cancel may have been lost with the session."""
        return [
            record
            for record in self._office.ledger.book.open()
            if record.cancel_requested
            and record.status is not OrderStatus.PENDING_SUBMIT
            and lists.open_order(record) is not None
        ]

    async def _tell_strangers(self, lists: Reconciliation) -> None:
        """Orders that no request of ours asked for: told when first seen, and when their status changes."""
        book, ledger = self._office.ledger.book, self._office.ledger
        named = {seen.order_ref for seen in lists.external(book.is_ours) if seen.order_ref}
        known = {record.client_order_id for record in await ledger.load_all(sorted(named))}
        strangers = lists.external(lambda ref, perm_id: book.is_ours(ref, perm_id) or ref in known)
        news = [seen for seen in strangers if self._strangers.get(seen.perm_id) != seen.status]
        if not news:
            return
        async with ledger.changing() as change:
            for seen in news:
                change.tell(_external(seen, self._office))
                self._strangers[seen.perm_id] = seen.status
        while len(self._strangers) > STRANGERS_KEPT_MAX:
            del self._strangers[next(iter(self._strangers))]
        metrics.EXTERNAL_ORDERS.inc(len(news))


def _external(seen: OrderSeen, office: Office) -> ExternalOrder:
    return ExternalOrder(
        perm_id=seen.perm_id,
        order_ref=seen.order_ref,
        client_id=seen.client_id,
        symbol=seen.symbol,
        side=seen.side or Side.BUY,
        quantity=seen.quantity or ZERO,
        status=seen.status,
        account=seen.account,
        at=office.clock.now(),
    )
