"""Order ids as a Gateway counts them, for executors that live in the process."""

from __future__ import annotations


class OrderIds:
    """Counts up from 1; no id is given twice, nor one below an id that was used."""

    def __init__(self) -> None:
        self.next = 1
        """The id that is given next."""

    def take(self, at_least: int) -> int:
        """The next id, not below `at_least`."""
        order_id = max(self.next, at_least)
        self.next = order_id + 1
        return order_id

    def use(self, order_id: int) -> None:
        """Note that an order came with this id, whoever counted it."""
        self.next = max(self.next, order_id + 1)
