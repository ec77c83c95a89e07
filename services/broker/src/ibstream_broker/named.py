"""Orders that inputs name and that are not at hand: they ended in an earlier life of the broker, or are nobody's of ours.

A late fill is a fill, and an order that was called dead may work again. Lists name other clients' orders every time: of those the
journal is asked once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ibstream_broker.domain.inputs import Executed, OrderSeen
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import Word, word
from ibstream_broker.ledger import OrderLedger

UNKNOWN_KEPT_MAX = 10_000
"""References that the journal does not know and is not asked for again; of more the longest unheard is asked for once more."""


class NamedOrders:
    """Looks up, in the journal, the orders of executions and of orders shown as working."""

    def __init__(self, ledger: OrderLedger) -> None:
        self._ledger = ledger
        self._unknown: OrderedDict[str, None] = OrderedDict()

    def clear(self) -> None:
        """Forget what the journal did not know: another broker may have written to it."""
        self._unknown.clear()

    async def have_at_hand(self, inputs: Iterable[object]) -> None:
        """Load all orders that these name into the book, in one read; not to be called while the ledger is held."""
        await self._load(dict.fromkeys(name for name in map(_name, inputs) if name))

    async def find(self, happened: object) -> OrderRecord | None:
        """The order that an input names; None where it names none, or none of ours."""
        name = _name(happened)
        if name:
            await self._load({name: None})  # it may have left the book since the batch was loaded
        return self._ledger.book.get(name)

    async def _load(self, names: Iterable[str]) -> None:
        wanted = []
        for name in names:
            if name in self._ledger.book:
                self._unknown.pop(name, None)  # a strategy has taken it up since
            elif name in self._unknown:
                self._unknown.move_to_end(name)
            else:
                wanted.append(name)
        if not wanted:
            return
        found = {one.client_order_id: one for one in await self._ledger.load_all(wanted)}
        for name in wanted:
            if name in self._ledger.book:  # put there while we read; what was read may be older
                continue
            if name in found:
                self._ledger.book.put(found[name])
            else:
                self._unknown[name] = None
        while len(self._unknown) > UNKNOWN_KEPT_MAX:
            self._unknown.popitem(last=False)


def _name(happened: object) -> str:
    """The reference by which an input's order may have to be looked up; empty for none."""
    match happened:
        case Executed(order_ref=name):
            return name
        case OrderSeen(order_ref=name, status=status) if word(status) is Word.WORKING:
            return name
        case _:
            return ""
