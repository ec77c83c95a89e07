"""Finding the order that an input is about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ibstream_broker.domain.fills import line_of
from ibstream_broker.domain.inputs import CodeReported, CommissionReported, Executed, OrderInput, OrderSeen
from ibstream_broker.domain.records import OrderRecord

FINAL_KEPT_MAX = 10_000
"""Finished orders kept at hand for late commissions and repeated statuses; older ones are in the journal."""


class OrderBook:
    """The records at hand, by the strategy's id, IBKR's ids and lines of the fill ledger."""

    def __init__(self) -> None:
        self._records: dict[str, OrderRecord] = {}
        self._open: dict[str, None] = {}
        self._final: OrderedDict[str, None] = OrderedDict()
        self._by_order_id: dict[int, str] = {}
        self._by_perm_id: dict[int, str] = {}
        self._by_exec_line: dict[str, str] = {}

    def __contains__(self, client_order_id: str) -> bool:
        return client_order_id in self._records

    def get(self, client_order_id: str) -> OrderRecord | None:
        """The record of an order; None where it is not at hand."""
        return self._records.get(client_order_id)

    def open(self) -> Iterator[OrderRecord]:
        """Every order without an outcome as of now, in the order in which they were first put here."""
        return iter([self._records[key] for key in self._open])

    def group_of(self, record: OrderRecord) -> list[OrderRecord]:
        """The members of its group that are at hand, in the order in which they are sent; itself alone without a group."""
        if record.link is None:
            return [record]
        return [self._records[key] for key in record.link.members if key in self._records]

    def is_ours(self, order_ref: str, perm_id: int) -> bool:
        """Whether an order at IBKR is one at hand; older ones are in the journal."""
        return order_ref in self._records if order_ref else perm_id in self._by_perm_id

    def put(self, record: OrderRecord) -> None:
        """Keep the newest state of an order."""
        key = record.client_order_id
        self._records[key] = record
        if record.order_id:
            self._by_order_id[record.order_id] = key
        if record.perm_id:
            self._by_perm_id[record.perm_id] = key
        for execution in record.executions.values():
            self._by_exec_line[line_of(execution.exec_id)] = key
        if not record.is_final:
            self._open[key] = None
        else:
            self._open.pop(key, None)
            self._final[key] = None
            while len(self._final) > FINAL_KEPT_MAX:
                self._forget(self._final.popitem(last=False)[0])

    def put_all(self, records: Iterable[OrderRecord]) -> None:
        """Keep each, as read from the journal, unless it has moved on since it was read."""
        for record in records:
            known = self._records.get(record.client_order_id)
            if known is None or known.revision < record.revision:
                self.put(record)

    def about(self, happened: OrderInput) -> OrderRecord | None:
        """Whose input it is; None where it is no order of ours.

        By our own reference, then by IBKR's permanent id; the order id serves only where neither is told.
        """
        if isinstance(happened, CommissionReported):
            return self._records.get(self._by_exec_line.get(line_of(happened.exec_id), ""))
        if isinstance(happened, OrderSeen | Executed) and happened.order_ref:
            return self._records.get(happened.order_ref)
        if not isinstance(happened, CodeReported) and happened.perm_id in self._by_perm_id:
            return self._records.get(self._by_perm_id[happened.perm_id])
        found = self._records.get(self._by_order_id.get(happened.order_id, ""))
        perm_id = 0 if isinstance(happened, CodeReported) else happened.perm_id
        return None if found is not None and _is_another(found, perm_id) else found

    def discard(self, client_order_id: str) -> None:
        """Forget an order that turned out not to have been journalled."""
        if client_order_id in self._records:
            self._open.pop(client_order_id, None)
            self._final.pop(client_order_id, None)
            self._forget(client_order_id)

    def _forget(self, key: str) -> None:
        record = self._records.pop(key)
        if self._by_order_id.get(record.order_id) == key:
            del self._by_order_id[record.order_id]
        if self._by_perm_id.get(record.perm_id) == key:
            del self._by_perm_id[record.perm_id]
        for execution in record.executions.values():
            self._by_exec_line.pop(line_of(execution.exec_id), None)


def _is_another(record: OrderRecord, perm_id: int) -> bool:
    """The order id was used again after a rollback: the permanent ids differ."""
    return bool(perm_id and record.perm_id and perm_id != record.perm_id)
