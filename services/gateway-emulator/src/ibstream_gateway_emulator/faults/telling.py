"""What is told of orders when that is what is wrong: nothing, everything twice, the commission first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ibstream_gateway_emulator.domain.bounds import keep_latest
from ibstream_gateway_emulator.protocol.messages import CommissionReport, Error, ExecDetails, Message, OrderStatus
from ibstream_gateway_emulator.protocol.open_order import OpenOrder

Until = Literal["reconnect", "never"]
UNACKNOWLEDGED_MAX = 100_000
"""Orders, and executions of theirs, that are kept quiet; of the oldest among more of them clients hear again."""


class Unacknowledged:
    """The orders whose clients are told nothing of them by themselves."""

    def __init__(self) -> None:
        self._orders: dict[tuple[int, int], Until] = {}
        self._executions: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._orders)

    def __contains__(self, order: tuple[int, int]) -> bool:
        return order in self._orders

    def add(self, client_id: int, order_id: int, until: Until) -> None:
        """Say nothing of this order from now on."""
        self._orders[client_id, order_id] = until
        keep_latest(self._orders, UNACKNOWLEDGED_MAX)

    def reconnected(self, client_id: int) -> None:
        """The client has connected anew, and hears of those that waited for it."""
        self._orders = {
            order: until for order, until in self._orders.items() if order[0] != client_id or until == "never"
        }

    def clear(self) -> None:
        """Speak of all of them again."""
        self._orders.clear()
        self._executions.clear()

    def without(self, client_id: int, messages: Iterable[Message]) -> list[Message]:
        """The messages that do not speak of such an order."""
        return [message for message in messages if not self._speaks(client_id, message)]

    def _speaks(self, client_id: int, message: Message) -> bool:
        match message:
            case OpenOrder() | OrderStatus():
                return (client_id, message.order_id) in self._orders
            case Error():
                return (client_id, message.req_id) in self._orders
            case ExecDetails() if (client_id, message.order_id) in self._orders:
                self._executions[message.exec_id] = None
                keep_latest(self._executions, UNACKNOWLEDGED_MAX)
                return True
            case CommissionReport():
                return message.exec_id in self._executions
            case _:
                return False


def commission_first(messages: list[Message]) -> list[Message]:
    """The same messages, each commission report before the execution it belongs to."""
    reports = {message.exec_id: message for message in messages if isinstance(message, CommissionReport)}
    executions = {message.exec_id for message in messages if isinstance(message, ExecDetails)}
    told: list[Message] = []
    for message in messages:
        if isinstance(message, ExecDetails) and message.exec_id in reports:
            told.append(reports[message.exec_id])
        if not (isinstance(message, CommissionReport) and message.exec_id in executions):
            told.append(message)
    return told


def repeated(messages: list[Message], copies: int) -> list[Message]:
    """The same messages, each orderStatus followed by so many copies of itself."""
    return [again for message in messages for again in [message] * (1 + copies * isinstance(message, OrderStatus))]
