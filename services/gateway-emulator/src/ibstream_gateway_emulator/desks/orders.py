"""The account's orders: placed, changed, cancelled, filled, and told of afterwards. Clients come and go; orders stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation import orders as sim
from ibstream.simulation import rules
from ibstream.simulation.account import INITIAL_MARGIN, MAINTENANCE_MARGIN
from ibstream.simulation.commission import order_commission
from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.instruments import InstrumentMaster, Listing
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.sessions import new_york_date
from ibstream_gateway_emulator.domain import codes, contracts
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.domain.order_entry import ticket_of
from ibstream_gateway_emulator.domain.order_record import (
    CANCELLED,
    FILLED,
    PENDING_CANCEL,
    PRE_SUBMITTED,
    SUBMITTED,
    OrderRecord,
    commission_report,
    to_cents,
)
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.open_order import OpenOrder, OrderState
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

MANUAL_CLIENT_ID = 0
"""The client that may cancel the others' orders, as it may those entered by hand."""
_EXPLANATIONS = {
    sim.CancelReason.REQUESTED: "Cancelled by Trader",
    sim.CancelReason.IMMEDIATE_OR_CANCEL: "Cancelled by System:",
    sim.CancelReason.EXPIRED: "Cancelled by System:",
}


class Notice(msgspec.Struct, frozen=True, gc=False):
    """A message for one client, if it is connected."""

    client_id: int
    message: Message


Notices = Iterator[Notice]


class OrderDesk:
    """Every method that changes something yields whom to tell what, in order; consume it before the next call."""

    def __init__(self, engine: MatchingEngine, master: InstrumentMaster, account: str, *, started_ns: int) -> None:
        self._engine = engine
        self._master = master
        self._account = account
        self._by_perm_id: dict[int, OrderRecord] = {}
        self._by_client: dict[tuple[int, int], OrderRecord] = {}
        self._next_order_id: dict[int, int] = {}
        # Ids of another run must not come again: consumers key their ledgers by them.
        self._last_perm_id = splitmix64(engine.market.seed ^ started_ns) % 1_000_000_000
        self.traded: set[str] = set()
        """Symbols that traded since somebody last emptied this."""

    def next_order_id(self, client_id: int) -> int:
        """The lowest id above all that the client has used."""
        return self._next_order_id.get(client_id, 1)

    def reserve_ids(self, client_id: int, count: int) -> int:
        """Skip `count` ids; the next one."""
        self._next_order_id[client_id] = self.next_order_id(client_id) + max(count, 0)
        return self._next_order_id[client_id]

    def place(self, client_id: int, order: PlaceOrder, now_ns: int) -> Notices:
        """Take a new order, or change a working one of the same id."""
        known = self._by_client.get((client_id, order.order_id))
        try:
            if order.what_if:
                yield Notice(client_id, self._what_if(client_id, order, now_ns))
            elif known is None:
                yield from self._place_new(client_id, order, now_ns)
            else:
                yield from self._modify(known, order, now_ns)
        except RequestError as error:
            yield Notice(client_id, error.code.about(order.order_id))

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> Notices:
        """End a working order of this client; client 0 may end any client's."""
        record = self._by_client.get((client_id, order_id)) or self._foreign(client_id, order_id)
        if record is None:
            yield Notice(client_id, codes.order_not_found(order_id).about(order_id))
        elif not record.is_live:
            yield Notice(client_id, codes.order_finished(order_id, record.status).about(order_id))
        else:
            yield from self._cancel(record, client_id, now_ns)

    def cancel_all(self, now_ns: int) -> Notices:
        """End every working order of every client."""
        for record in self._live():
            yield from self._cancel(record, record.client_id, now_ns)

    def evaluate(self, now_ns: int) -> Notices:
        """Let the market move on: day orders expire, resting orders fill."""
        yield from self._tell(self._engine.evaluate(now_ns))

    def open_orders(self, client_id: int | None = None) -> Iterator[Message]:
        """Orders and statuses of the working orders of one client, or of all."""
        for record in self._live():
            if client_id is None or record.client_id == client_id:
                yield record.open_order()
                yield record.order_status()

    def completed_orders(self, today: date) -> Iterator[Message]:
        """The orders that ended on the New York day `today`."""
        for record in self._by_perm_id.values():
            if not record.is_live and new_york_date(record.completed_ns) == today:
                yield record.completed_order()

    def executions(self, today: date) -> Iterator[tuple[OrderRecord, sim.Filled]]:
        """The executions of the New York day `today`, with their orders."""
        for record in self._by_perm_id.values():
            for fill in record.executions:
                if new_york_date(fill.time_ns) == today:
                    yield record, fill

    def _place_new(self, client_id: int, order: PlaceOrder, now_ns: int) -> Notices:
        listing = self._listing(order)
        perm_id = self._last_perm_id + 1
        ticket = ticket_of(order, perm_id, listing)
        events = self._engine.submit(ticket, now_ns)
        if isinstance(events[0], sim.Rejected):
            yield Notice(client_id, Code(events[0].code, events[0].text).about(order.order_id))
            return
        self._last_perm_id = perm_id
        self._keep(OrderRecord(perm_id, client_id, order.order_id, self._account, listing, order, ticket.quantity))
        yield from self._tell(events)

    def _keep(self, record: OrderRecord) -> None:
        self._by_perm_id[record.perm_id] = record
        self._by_client[record.client_id, record.order_id] = record
        self._next_order_id[record.client_id] = max(self.next_order_id(record.client_id), record.order_id + 1)

    def _modify(self, record: OrderRecord, order: PlaceOrder, now_ns: int) -> Notices:
        if record.status == FILLED:
            raise RequestError(codes.CANNOT_MODIFY_FILLED)
        if not record.is_live:
            raise RequestError(codes.DUPLICATE_ORDER_ID)
        ticket = ticket_of(order, record.perm_id, self._listing(order))
        _refuse_other_order(record, order, ticket)
        events = self._engine.modify(record.perm_id, now_ns, quantity=ticket.quantity, limit_price=ticket.limit_price)
        if isinstance(events[0], sim.Refused):
            raise RequestError(Code(events[0].code, events[0].text))
        record.placed, record.remaining = order, ticket.quantity - record.filled
        yield from self._tell(events)

    def _cancel(self, record: OrderRecord, by_client: int, now_ns: int) -> Notices:
        yield Notice(record.client_id, record.order_status(status=PENDING_CANCEL))
        yield from self._tell(self._engine.cancel(record.perm_id, now_ns))
        if by_client != record.client_id:
            yield Notice(by_client, record.order_status(client_id=by_client))
            yield Notice(by_client, codes.ORDER_CANCELED.about(record.order_id))

    def _what_if(self, client_id: int, order: PlaceOrder, now_ns: int) -> OpenOrder:
        listing = self._listing(order)
        ticket = ticket_of(order, "what-if", listing)
        objection = rules.objection_to(ticket)
        if objection is not None:
            raise RequestError(Code(*objection))
        draft = OrderRecord(0, client_id, order.order_id, self._account, listing, order, ticket.quantity)
        state = self._margins(ticket, now_ns)
        return OpenOrder(
            order_id=order.order_id, client_id=client_id, terms=draft.terms(ticket.quantity), state=state, what_if=True
        )

    def _margins(self, ticket: sim.Ticket, now_ns: int) -> OrderState:
        values = self._engine.values(now_ns)
        price = rules.touch(ticket.side, self._engine.market.quote(ticket.symbol, now_ns))
        signed = ticket.quantity if ticket.side is Side.BUY else -ticket.quantity
        initial = self._engine.account.margin_change(ticket.symbol, signed, price)
        maintenance = initial * MAINTENANCE_MARGIN / INITIAL_MARGIN
        commission = order_commission(ticket.quantity, ticket.quantity * price)
        return OrderState(
            status=PRE_SUBMITTED,
            initial_margin=_change(values.initial_margin, initial),
            maintenance_margin=_change(values.maintenance_margin, maintenance),
            equity_with_loan=_change(values.net_liquidation, -commission),
            commission=commission,
        )

    def _listing(self, order: PlaceOrder) -> Listing:
        listing = contracts.find(self._master, order.contract)
        if listing is None:
            raise RequestError(codes.UNKNOWN_CONTRACT)
        if order.account not in ("", self._account):
            raise RequestError(codes.invalid(f"Invalid account code '{order.account}'."))
        return listing

    def _foreign(self, client_id: int, order_id: int) -> OrderRecord | None:
        if client_id != MANUAL_CLIENT_ID:
            return None
        return next((record for record in self._live() if record.order_id == order_id), None)

    def _live(self) -> list[OrderRecord]:
        return [record for record in self._by_perm_id.values() if record.is_live]

    def _tell(self, events: Iterable[sim.Event]) -> Notices:
        for event in events:
            record = self._by_perm_id[int(event.order_id)]
            for message in self._messages(record, event):
                yield Notice(record.client_id, message)

    def _messages(self, record: OrderRecord, event: sim.Event) -> Iterator[Message]:
        match event:
            case sim.Accepted():
                yield from (record.open_order(), record.order_status())
            case sim.Filled():
                self.traded.add(event.symbol)
                record.book_fill(event)
                yield record.exec_details(event)
                yield from (record.open_order(), record.order_status(), commission_report(event))
            case sim.Working() if record.status == PRE_SUBMITTED:
                record.status = SUBMITTED
                yield from (record.open_order(), record.order_status())
            case sim.Replaced():
                record.status = SUBMITTED
                yield from (record.open_order(), record.order_status())
            case sim.Cancelled():
                record.end(CANCELLED, event.time_ns, _EXPLANATIONS[event.reason])
                yield record.order_status()
                yield codes.ORDER_CANCELED.about(record.order_id)
            case _:
                return


def _refuse_other_order(record: OrderRecord, order: PlaceOrder, ticket: sim.Ticket) -> None:
    """A change may touch quantity and limit price alone."""
    if order.order_type != record.placed.order_type:
        raise RequestError(codes.TYPE_CHANGE)
    same = (
        ticket.symbol == record.listing.symbol
        and order.action == record.placed.action
        and (order.tif or "DAY") == (record.placed.tif or "DAY")
    )
    if not same:
        raise RequestError(codes.DOES_NOT_MATCH)


def _change(before: Decimal, change: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    return to_cents(before), to_cents(change), to_cents(before + change)
