"""What is wrong with the Gateway at the moment. Whoever does the work asks here first; unless told otherwise, nothing is."""

from __future__ import annotations

from collections.abc import Iterable

from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.protocol.messages import Message
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder


class Faults:
    """The faults in force."""

    def shape(self, client_id: int, messages: Iterable[Message]) -> Iterable[Message]:
        """What a client is really told: messages may be left out, doubled or swapped."""
        del client_id
        return messages

    def objection_to_quotes(self, client_id: int, symbol: str) -> Code | None:
        """Why this client has no live quotes of the instrument with this key (354, 10089, 10167, 10197)."""
        del client_id, symbol
        return None

    def quotes_flow(self, symbol: str) -> bool:
        """Whether ticks of the instrument come at all; not while its farm is down or the link to IBKR is lost."""
        del symbol
        return True

    def objection_to_history(self, client_id: int, symbol: str) -> Code | None:
        """Why historical data of the instrument is refused."""
        del client_id, symbol
        return None

    def objection_to_order(self, client_id: int, order: PlaceOrder) -> Code | None:
        """Why this order is refused: a read-only API (321), or a rejection that was commanded (201)."""
        del client_id, order
        return None

    def loses_order(self, client_id: int, order: PlaceOrder) -> bool:
        """Whether the order disappears without a word."""
        del client_id, order
        return False
