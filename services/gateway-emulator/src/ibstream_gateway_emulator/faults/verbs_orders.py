"""Verbs about orders: what becomes of them, and what is told of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from ibstream_gateway_emulator.faults.verb import ClientId, Copies, Count, Event, OrderScope, State


class OrderEvent(Event, frozen=True, kw_only=True):
    """Something that happens to one order: the only one that fits all that is given, working ones first."""

    perm_id: int | None = None
    order_ref: str | None = None
    client_id: ClientId | None = None
    """The client that placed it."""
    order_id: int | None = None
    """Its id at that client."""


class ReadOnlyApi(State, frozen=True, kw_only=True):
    """The API is read-only, as in a fresh Gateway: orders, changes and cancels are refused with 321."""

    refuses_lists: bool = False
    """Whether requests for lists of orders are refused, too, under the request id -1, as some Gateways do."""


class RejectOrders(OrderScope, frozen=True, kw_only=True):
    """New orders, and changes of working ones, are rejected."""

    code: int = 201
    text: str | None = None
    """What is said; None: for 201 that the available funds do not suffice."""


class OrderWarning(OrderScope, frozen=True, kw_only=True):
    """New orders are taken and work, and draw a message that sounds like an error."""

    code: int = 399
    """399: it is held until the exchange opens. 10349: its time in force was set to DAY by a preset."""
    text: str | None = None
    """What is said; None: the code's own text."""


class CancelError(State, frozen=True, kw_only=True):
    """Cancels are answered with an error and nothing else; the order goes on working."""

    code: Literal[161, 10148] = 161
    status: str = "PendingCancel"
    """The state that the text names as the reason."""
    client_id: ClientId | None = None
    """Cancels by this client; None: by all."""
    count: Count | None = None
    """The next so many; None: all while it lasts."""


class CommissionBeforeExecution(State, frozen=True, kw_only=True):
    """Commission reports come before the executions they belong to."""

    client_id: ClientId | None = None


class DuplicateOrderStatus(State, frozen=True, kw_only=True):
    """Every orderStatus comes several times."""

    copies: Copies = 1
    """How many more than the one."""
    client_id: ClientId | None = None


class LoseAcknowledgement(OrderScope, frozen=True, kw_only=True):
    """New orders work, but their client is told nothing of them by itself; asked for, they are there."""

    until: Literal["reconnect", "never"] = "reconnect"
    """When the client begins to hear of them: once it has connected anew, or never. `clear` ends both."""


class LoseOrder(OrderScope, frozen=True, kw_only=True):
    """Orders and changes disappear: nothing happens, and nothing is said."""


class OmitOrders(State, frozen=True, kw_only=True):
    """Lists of open orders, completed orders and executions come without some orders, as before IBKR has told of them.

    Whoever asks finds no trace of them but that their order ids are used up. What is told by itself is told all the same.
    """

    client_id: ClientId | None = None
    """Orders of this client; None: of every client."""
    order_ref: str | None = None
    """The orders with this orderRef; None: with any."""


class Fill(OrderEvent, frozen=True, kw_only=True):
    """An order fills now, whatever the market says, and whether or not anybody listens."""

    quantity: Decimal | None = None
    """How much of it; None: all that remains."""
    price: Decimal | None = None
    """At which price; None: the order's limit, or else the market's."""


class CancelOrder(OrderEvent, frozen=True, kw_only=True):
    """IBKR cancels an order by itself."""

    text: str = ""
    """The reason that 202 and the completed order name."""


class CorrectExecution(Event, frozen=True, kw_only=True):
    """An execution is corrected: told again with the last segment of its id counted up, `.01` to `.02`."""

    exec_id: str
    quantity: Decimal | None = None
    """What was really traded; None: as told before."""
    price: Decimal | None = None
    """At which price; None: as told before."""


class RollBackOrderIds(Event, frozen=True, kw_only=True):
    """The Gateway forgets the last order ids: the next client to connect or ask is told a lower nextValidId."""

    by: Count = 1
    client_id: ClientId | None = None
    """This client's ids; None: those of all clients."""
