"""What is known of one order: what the journal holds, and nothing else is believed after a restart."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import FINAL_STATUSES, GroupKind, OcaType, OrderStatus, Reason, Side, SubmitOrder

ZERO = Decimal(0)

_ALIVE = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """How an order hangs together with the others of its group."""

    group_id: str
    kind: GroupKind
    oca_type: OcaType = OcaType.CANCEL
    parent: str = ""
    """Client order id of the bracket's parent; empty for the parent itself and in an OCA group."""
    parent_order_id: int = 0
    """Its order id; 0 where there is no parent."""
    transmit: bool = True
    """False for all orders of a bracket but the last: the Gateway holds them until that one has come."""
    members: tuple[str, ...] = ()
    """Client order ids of the whole group, in the order in which they are sent."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the fill ledger."""

    exec_id: str
    quantity: Decimal
    price: Decimal
    leg: bool = False
    """A leg's of a combo: it changed a position, and does not count towards the order's quantity."""
    con_id: int = 0
    side: Side = Side.BUY
    """A leg's can be the other one than the order's."""

    @property
    def signed_quantity(self) -> Decimal:
        """What it did to the position: negative where it sold."""
        return self.quantity if self.side is Side.BUY else -self.quantity


class OrderRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One order from its request to its outcome. `revision` counts the changes, `seq` the events published."""

    request: SubmitOrder
    entry_id: str
    """The stream entry that asked for it: the same entry delivered again is not a repeated request."""
    account: str = ""
    valid_until: datetime | None = None
    """Not sent after this time; always set on an order that was accepted."""
    link: Link | None = None
    """Its group, if it was submitted in one."""
    revision: int = 0
    seq: int = 0
    status: OrderStatus = OrderStatus.PENDING_SUBMIT
    reason: Reason = Reason.NONE
    text: str = ""
    code: int = 0
    order_id: int = 0
    perm_id: int = 0
    epoch: int = 0
    """The session in which it was sent, as the journal counts sessions."""
    resent: bool = False
    """Sent again with the same id, because it had provably never reached the Gateway."""
    session_lost: bool = False
    """The session ended under it while its answer was awaited: nothing is provable any more."""
    cancel_requested: bool = False
    reported_filled: Decimal = ZERO
    """What IBKR's status says is filled; the ledger may still wait for an execution."""
    wanted: SubmitOrder | None = None
    """The whole order as the last modify asks for it, while that is on its way: what the next one builds on. None once IBKR
    has shown those terms, or a code refused them, or the session ended."""
    modify_quantity: Decimal | None = None
    """The largest quantity that a modify has asked for and IBKR has not shown yet: until it has, the old quantity does not end
    the order. It outlasts `wanted`: of several modifies that were sent any can be the one that is in force."""
    reported_cancelled: bool = False
    """IBKR's status says cancelled, while the ledger still waits for an execution."""
    worked: bool = False
    """IBKR has shown it working or held, or filled some of it: a code that refuses may be about a change of it."""
    refused: bool = False
    """A code refused it, or a change or a cancel of it: which of them, only IBKR's lists tell."""
    doubted: bool = False
    """It stands as it stood, but something was said that the lists have to confirm."""
    advice_told: tuple[int, ...] = ()
    """Checksums of the advice that was published last: IBKR repeats it with every callback."""
    executions: dict[str, Execution] = {}
    """The ledger: by execution id without its last part, which counts corrections."""
    commissions: frozenset[str] = frozenset()
    """Execution ids whose commission was published."""
    unknown_since: datetime | None = None
    """Since when it is unknown without a break; None while it is not. A person's word about it counts from then on."""
    missing_since: datetime | None = None
    """Since when IBKR lists it nowhere."""

    @property
    def client_order_id(self) -> str:
        """The strategy's id."""
        return self.request.client_order_id

    @property
    def side(self) -> Side:
        """Which way."""
        return self.request.side

    @property
    def is_final(self) -> bool:
        """Whether the outcome is out."""
        return self.status in FINAL_STATUSES

    @property
    def acknowledged(self) -> bool:
        """Whether IBKR has shown it as its own."""
        return self.perm_id != 0

    @property
    def has_worked(self) -> bool:
        """Whether it was ever alive at IBKR: nothing can refuse it any more, only a change of it."""
        return self.worked or bool(self.executions) or self.status in _ALIVE

    @property
    def filled(self) -> Decimal:
        """What is filled of its quantity, by the ledger."""
        return sum((one.quantity for one in self.executions.values() if not one.leg), ZERO)

    @property
    def is_unclear(self) -> bool:
        """Whether only IBKR's lists can tell where it stands: no clear answer, or the ledger and the status disagree."""
        if self.is_final:
            return False
        waits = self.status in (OrderStatus.UNKNOWN, OrderStatus.PENDING_SUBMIT)
        return (
            waits
            or self.doubted
            or self.reported_cancelled
            or self.reported_filled > self.filled
            or self.filled >= self.request.quantity
        )

    @property
    def average_price(self) -> Decimal | None:
        """Per unit over all fills; None before the first."""
        filled = self.filled
        if not filled:
            return None
        value = sum((one.quantity * one.price for one in self.executions.values() if not one.leg), ZERO)
        return value / filled
