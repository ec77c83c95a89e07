"""Which orders a cancel of all that fits is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ibstream.contracts.orders import CancelAllOrders, SubmitOrder
from ibstream_broker.domain.interest import unrouted
from ibstream_broker.domain.lanes import Waiting
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.requests import orders_of


@dataclass(frozen=True)
class Fitting:
    """Tells which orders a cancel-all is about."""

    request: CancelAllOrders
    own_account: str
    """The account of orders that name none."""

    def order(self, order: SubmitOrder) -> bool:
        """Whether an order fits that is not sent yet."""
        return self._fits(order, order.account or self.own_account)

    def record(self, record: OrderRecord) -> bool:
        """Whether a journalled order fits."""
        return self._fits(record.request, record.account)

    def waiting(self, item: Waiting) -> bool:
        """Whether any of the new orders of a waiting request fits."""
        return bool(item.client_order_ids) and any(self.order(order) for order in orders_of(item.request))

    def _fits(self, order: SubmitOrder, account: str) -> bool:
        wanted = self.request
        return (
            wanted.strategy in ("", order.strategy)
            and wanted.symbol in ("", order.instrument.symbol)
            and wanted.account in ("", account)
            and (wanted.instrument is None or unrouted(wanted.instrument) == unrouted(order.instrument))
        )
