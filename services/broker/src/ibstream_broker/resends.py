"""Sending again, with the same id, what provably never reached the Gateway: once the gate is open, and as long as it may go."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ibstream.contracts.orders import Reason
from ibstream.contracts.system import ConnectionState
from ibstream.runtime import metrics
from ibstream.runtime.faultpoints import fault_point
from ibstream_broker.domain.checks.times import check_expiry
from ibstream_broker.domain.fate import Decision, Fate, given_up, resending
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office, placement_of
from ibstream_broker.ports import InstrumentRefused

_log = structlog.get_logger(__name__)


class Resends:
    """Stages orders to be sent again in a change, and sends them once it is written."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.wait_for_gate = False
        """Whether there are orders to send again of which `stage` found the gate closed; whoever lists anew takes it back."""

    def stage(self, change: Change, record: OrderRecord) -> list[OrderRecord]:
        """Journal that it is about to be sent again, or why it will not be. Returned where it is to be sent.

        While the gate is not open it is left as it is: with the session ready it is looked at again at once.
        """
        office = self._office
        if office.standing.state is not ConnectionState.READY:
            self.wait_for_gate = True
            return []
        refusal = office.standing.refuses_orders(office.clock.now()) or office.blocked(record.request, record)
        if refusal is not None:
            self._refuse(change, record, refusal)
            return []
        change.step(resending(record, office.clock.now(), epoch=office.epoch))
        return [change.now(record.client_order_id) or record]

    async def send(self, records: Sequence[OrderRecord]) -> None:
        """Members of a group in the order in which they were first sent: their order ids say it.

        Looked at once more right before each goes out: a cancel, a halt or the end of its time may have come since. Where one
        cannot be sent for want of a session, it and those after it stay unanswered.
        """
        if records:
            async with self._office.sending:
                await self._send_each(records)

    async def _send_each(self, records: Sequence[OrderRecord]) -> None:
        office = self._office
        session = office.port.session
        for record in sorted(records, key=lambda one: one.order_id):
            fault_point("resend.journalled")
            try:
                await office.port.terms(record.request.instrument)
                await office.port.room()
                refusal = self._no_longer(record)
                if refusal is None:
                    office.check_held()
                    await office.port.place(placement_of(record), session=session)
            except InstrumentRefused as error:
                refusal = Refusal(error.reason, error.text)
            except ConnectionError as error:
                _log.warning("broker.not_sent_again", order=record.client_order_id, error=str(error))
                return
            if refusal is not None:
                await self._give_up(record, refusal)
                continue
            metrics.ORDERS_RESENT.inc()
            _log.warning("broker.order_sent_again", order=record.client_order_id, order_id=record.order_id)

    def _no_longer(self, record: OrderRecord) -> Refusal | None:
        """Why an order that was to be sent again must not be any more."""
        office, now = self._office, self._office.clock.now()
        current = office.ledger.book.get(record.client_order_id) or record
        if current.is_final or current.cancel_requested:
            return Refusal(Reason.CANCEL_REQUESTED, "cancelled before it reached the Gateway")
        late = check_expiry(record.valid_until, now=now) if record.valid_until is not None else None
        return office.standing.refuses_orders(now) or late

    async def _give_up(self, record: OrderRecord, refusal: Refusal) -> None:
        async with self._office.ledger.changing() as change:
            current = change.now(record.client_order_id) or record
            if not current.is_final:
                self._refuse(change, current, refusal)

    def _refuse(self, change: Change, record: OrderRecord, refusal: Refusal) -> None:
        decision = Decision(fate=Fate.REJECT, reason=refusal.reason, text=refusal.text)
        change.step(given_up(record, decision, self._office.clock.now()))
