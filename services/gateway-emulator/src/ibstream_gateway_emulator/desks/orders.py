"""The account's orders: placed, changed, cancelled, filled, and told of afterwards. Clients come and go; orders stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from ibstream.simulation import orders as sim
from ibstream.simulation.hashing import splitmix64
from ibstream.simulation.instruments import InstrumentMaster
from ibstream.simulation.matching import MatchingEngine
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream_gateway_emulator.desks.order_log import OrderLog
from ibstream_gateway_emulator.desks.order_notices import Notice, Notices, OrderTeller
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code, RequestError
from ibstream_gateway_emulator.domain.order_book import OrderRecords, order_day
from ibstream_gateway_emulator.domain.order_changes import in_own_words, parent_of, refuse_other_order
from ibstream_gateway_emulator.domain.order_contract import OrderContract, contract_of
from ibstream_gateway_emulator.domain.order_entry import ticket_of
from ibstream_gateway_emulator.domain.order_ids import OrderIds
from ibstream_gateway_emulator.domain.order_record import FILLED, PENDING_CANCEL, Execution, OrderRecord
from ibstream_gateway_emulator.domain.what_if import check_what_if, state_of
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.open_order import OpenOrder
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.settings import EmulatorSettings

__all__ = ["MANUAL_CLIENT_ID", "Notice", "OrderDesk"]

MANUAL_CLIENT_ID = 0
"""The client that may cancel the others' orders, as it may those entered by hand."""
_WHAT_IF_KEY = "what-if"
_PERM_IDS = 1_000_000_000


class OrderDesk:
    """Every method that changes something returns whom to tell what, in order; hand it to `Gateway.deliver`.

    `settings` is asked anew each time, so that what is told can be changed while the Gateway runs.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        master: InstrumentMaster,
        settings: Callable[[], EmulatorSettings],
        faults: Faults,
        *,
        started_ns: int,
    ) -> None:
        self._engine = engine
        self._master = master
        self._settings = settings
        self._faults = faults
        self._ids = OrderIds(lambda: settings().first_order_id)
        # Ids of another run must not come again: consumers key their ledgers by them.
        self._last_perm_id = splitmix64(engine.market.seed ^ started_ns) % _PERM_IDS
        self.records = OrderRecords()
        """Every order that is remembered; `records.find` finds one by what is known of it."""
        self.log = OrderLog(self.records, faults, settings)
        """What really happened, whoever was told of it."""
        self._teller = OrderTeller(engine, self.records, self._ids, settings)

    # Order ids.

    def next_order_id(self, client_id: int) -> int:
        """The lowest order id above all that the client has used."""
        return self._ids.next(client_id)

    def reserve_ids(self, client_id: int, count: int) -> int:
        """Skip `count` ids; the next one."""
        return self._ids.reserve(client_id, count)

    def start_ids_at(self, client_id: int, order_id: int) -> None:
        """Let the client's next order id be `order_id`."""
        self._ids.start_at(client_id, order_id)

    def roll_back_ids(self, by: int, client_id: int | None = None) -> None:
        """Forget the last `by` order ids of one client, or of all: those of finished orders are issued once more."""
        self.records.release_ids(self._ids.roll_back(by, client_id))

    # What clients ask for.

    def place(self, client_id: int, order: PlaceOrder, now_ns: int) -> Notices:
        """Take a new order, change a working one of the same id, or tell what an order would do."""
        try:
            if order.what_if:
                return [Notice(client_id, self._what_if(client_id, order, now_ns))]
            known = self.records.of_client(client_id, order.order_id)
            return self._place_new(client_id, order, now_ns) if known is None else self._modify(known, order, now_ns)
        except RequestError as error:
            return self.refuse(client_id, order, error.code, now_ns)

    def refuse(self, client_id: int, order: PlaceOrder, code: Code, now_ns: int) -> Notices:
        """Do not take an order, or a change, and remember why."""
        if not order.what_if:
            self._ids.use(client_id, order.order_id)
        self.log.refused(client_id, order, code, now_ns)
        return [Notice(client_id, code.about(order.order_id))]

    def key_of(self, order: PlaceOrder, now_ns: int) -> str:
        """The key of the instrument that an order is for; of a combination, and of what does not exist, its symbol."""
        try:
            return contract_of(self._master, order, now_ns).key
        except RequestError:
            return order.contract.symbol

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> Notices:
        """End a working order of this client; client 0 may end any client's."""
        record = self.records.of_client(client_id, order_id) or self._foreign(client_id, order_id)
        if record is None:
            return [Notice(client_id, codes.order_not_found(order_id).about(order_id))]
        if not record.is_live:
            return [Notice(client_id, codes.order_finished(order_id, record.status).about(order_id))]
        objection = self._faults.objection_to_cancel(client_id, order_id, record.perm_id)
        if objection is not None:
            return [Notice(client_id, objection.about(order_id))]
        return self._cancel(record, client_id, now_ns)

    def cancel_all(self, now_ns: int) -> Notices:
        """End every working order of every client."""
        pending = [notice for record in self.records.live() for notice in self._pending_cancel(record)]
        return pending + self.told(self._engine.cancel_all(now_ns))

    def evaluate(self, now_ns: int) -> Notices:
        """Let time and market move on: orders expire, trigger and fill."""
        notices = self.told(self._engine.evaluate(now_ns))
        self.records.prune(now_ns)
        return notices

    # What clients ask about.

    def open_orders(self, client_id: int | None = None, *, seen_by: int | None = None) -> Iterator[Message]:
        """The orders of one client, or of all, that have not ended. `seen_by` must then use higher order ids."""
        for record in self.records.live():
            if client_id in (None, record.client_id) and not self._is_omitted(record):
                if seen_by is not None:
                    self._ids.use(seen_by, record.order_id)
                self._teller.follow_stop(record)
                yield record.open_order()
                if self._settings().status_with_open_orders:
                    yield record.order_status()

    def completed_orders(self, now_ns: int) -> Iterator[Message]:
        """The orders that ended today, in the sense of `order_day`."""
        for record in self.records.completed_on(order_day(now_ns)):
            if not self._is_omitted(record):
                yield record.completed_order()

    def executions_today(self, now_ns: int) -> Iterator[tuple[OrderRecord, Execution]]:
        """The executions since the account's midnight, which is New York's, with their orders."""
        executions = self.records.executions(*day_window(new_york_date(now_ns)))
        return ((record, execution) for record, execution in executions if not self._is_omitted(record))

    # What is commanded, and what really happened.

    def forget_untransmitted(self, now_ns: int) -> None:
        """Drop the orders that never left the Gateway, as a restart does; nobody is told."""
        for order in self._engine.working:
            if order.hold is sim.HoldReason.UNTRANSMITTED and self._engine.order(order.ticket.order_id) is not None:
                self.told(self._engine.cancel(order.ticket.order_id, now_ns))

    def told(self, events: Iterable[sim.Event]) -> Notices:
        """Take over what the engine says has happened: whom to tell what. Every event must be told exactly once.

        For events that nobody asked for here: fills, corrections and cancels that were commanded of the engine.
        """
        return self._teller.told(events)

    def take_traded(self) -> set[str]:
        """Keys of the instruments that traded since this was last asked."""
        return self._teller.take_traded()

    # Within.

    def _is_omitted(self, record: OrderRecord) -> bool:
        return self._faults.omits_order(record.client_id, record.placed.order_ref)

    def _place_new(self, client_id: int, order: PlaceOrder, now_ns: int) -> Notices:
        if self._ids.is_spent(client_id, order.order_id):
            raise RequestError(codes.DUPLICATE_ORDER_ID)
        contract = self._contract(order, now_ns)
        parent = parent_of(order, self.records.of_client(client_id, order.parent_id))
        perm_id = self._last_perm_id + 1
        ticket = ticket_of(order, perm_id, contract, now_ns, parent_id=None if parent is None else parent.perm_id)
        events = _unless(sim.Rejected, self._engine.submit(ticket, now_ns))
        self._last_perm_id = perm_id
        self._ids.use(client_id, order.order_id)
        self.records.add(self._record(perm_id, client_id, order, contract, now_ns, parent))
        warning = self._faults.warning_of_order(client_id, order, lambda: contract.key)
        notices = self.told(events)
        return notices if warning is None else [*notices, Notice(client_id, warning.about(order.order_id))]

    def _modify(self, record: OrderRecord, order: PlaceOrder, now_ns: int) -> Notices:
        if record.status == FILLED:
            raise RequestError(codes.CANNOT_MODIFY_FILLED)
        if not record.is_live:
            raise RequestError(codes.DUPLICATE_ORDER_ID)
        order, contract = in_own_words(record, order), self._contract(order, now_ns)
        refuse_other_order(record, order, contract)
        parent_id = None if record.parent is None else record.parent.perm_id
        ticket = ticket_of(order, record.perm_id, contract, now_ns, parent_id=parent_id)
        events = _unless(sim.Refused, self._engine.replace(ticket, now_ns))
        record.placed, record.contract, record.remaining = order, contract, ticket.quantity - record.filled
        return self.told(events)

    def _cancel(self, record: OrderRecord, by_client: int, now_ns: int) -> Notices:
        notices = self._pending_cancel(record) + self.told(self._engine.cancel(record.perm_id, now_ns))
        if by_client != record.client_id:
            notices.append(Notice(by_client, record.order_status(client_id=by_client)))
            if self._settings().tell_cancel_202:
                notices.append(Notice(by_client, codes.order_cancelled().about(record.order_id)))
        return notices

    def _pending_cancel(self, record: OrderRecord) -> Notices:
        if not self._settings().tell_pending_cancel:
            return []
        return self._teller.addressed(record, record.order_status(status=PENDING_CANCEL))

    def _what_if(self, client_id: int, order: PlaceOrder, now_ns: int) -> OpenOrder:
        check_what_if(order)
        contract = self._contract(order, now_ns)
        answer = self._engine.what_if(ticket_of(order, _WHAT_IF_KEY, contract, now_ns), now_ns)
        if isinstance(answer, sim.Rejected):
            raise RequestError(Code(answer.code, answer.text))
        return self._record(0, client_id, order, contract, now_ns, None).open_order(state_of(answer))

    def _record(
        self,
        perm_id: int,
        client_id: int,
        order: PlaceOrder,
        contract: OrderContract,
        now_ns: int,
        parent: OrderRecord | None,
    ) -> OrderRecord:
        return OrderRecord(
            perm_id=perm_id,
            client_id=client_id,
            order_id=order.order_id,
            account=self._settings().account,
            contract=contract,
            placed=order,
            remaining=order.quantity or Decimal(0),
            placed_ns=now_ns,
            parent=parent,
            acknowledged=self.log.is_acknowledged(client_id, order),
        )

    def _contract(self, order: PlaceOrder, now_ns: int) -> OrderContract:
        if order.account not in ("", self._settings().account):
            raise RequestError(codes.invalid(f"Invalid account code '{order.account}'."))
        return contract_of(self._master, order, now_ns)

    def _foreign(self, client_id: int, order_id: int) -> OrderRecord | None:
        if client_id != MANUAL_CLIENT_ID:
            return None
        return next((record for record in self.records.live() if record.order_id == order_id), None)


def _unless(refusal: type[sim.Rejected] | type[sim.Refused], events: list[sim.Event]) -> list[sim.Event]:
    """The engine's answer. Raises `RequestError` where it is a refusal."""
    first = events[0]
    if isinstance(first, refusal):
        raise RequestError(Code(first.code, first.text))
    return events
