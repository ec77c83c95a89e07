"""Who is told what of orders: the engine's events on their way to clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

import msgspec

from ibstream.simulation import orders as sim
from ibstream.simulation.matching import MatchingEngine
from ibstream_gateway_emulator.domain.order_book import OrderRecords
from ibstream_gateway_emulator.domain.order_ids import OrderIds
from ibstream_gateway_emulator.domain.order_record import OrderRecord
from ibstream_gateway_emulator.domain.order_telling import tell
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.settings import EmulatorSettings


class Notice(msgspec.Struct, frozen=True, gc=False):
    """A message for one client, if it is connected."""

    client_id: int
    message: Message


Notices = list[Notice]


class OrderTeller:
    """Takes over into `records` what the engine says has happened, and finds whom to tell what."""

    def __init__(
        self, engine: MatchingEngine, records: OrderRecords, ids: OrderIds, settings: Callable[[], EmulatorSettings]
    ) -> None:
        self._engine = engine
        self._records = records
        self._ids = ids
        self._settings = settings
        self._traded: set[str] = set()

    def told(self, events: Iterable[sim.Event]) -> Notices:
        """Whom to tell what of `events`, in order. Every event must be told exactly once.

        Nobody is told of orders that are no longer remembered, as when an execution of days ago is corrected.
        """
        notices: Notices = []
        for perm_id, befallen in groupby(events, key=lambda event: event.order_id):
            happened = list(befallen)
            self._traded |= {symbol for one in happened if (symbol := _traded_symbol(one)) is not None}
            record = self._records.by_perm_id(int(perm_id))
            if record is None:
                continue
            self.follow_stop(record)
            for message in tell(record, happened, self._settings()):
                notices += self.addressed(record, message)
        return notices

    def take_traded(self) -> set[str]:
        """Keys of the instruments that traded since this was last asked."""
        traded, self._traded = self._traded, set()
        return traded

    def addressed(self, record: OrderRecord, message: Message) -> Notices:
        """To the order's client, and to the master client if there is another."""
        notices = [Notice(record.client_id, message)]
        master = self._settings().master_client_id
        if master is not None and master != record.client_id:
            self._ids.use(master, record.order_id)
            notices.append(Notice(master, message))
        return notices

    def follow_stop(self, record: OrderRecord) -> None:
        """A trailing stop moves without an event: look where it is."""
        order = self._engine.order(record.perm_id) if record.is_trailing else None
        if order is not None and order.stop_price is not None:
            record.stop_price = order.stop_price


def _traded_symbol(event: sim.Event) -> str | None:
    """The instrument whose position an event moved; a combination itself is none."""
    match event:
        case sim.LegFilled() | sim.Corrected() | sim.Filled(combo=False):
            return event.symbol
        case _:
            return None
