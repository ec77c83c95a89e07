"""What the matching engine takes and what it answers: tickets in, events out.

`tickets` holds what an order may ask for; it is told from here as well. The life of an order, in events:

    submit   Accepted, then (Held | Working | Filled ... | Cancelled), or Rejected alone
    later    Held -> Held for another reason -> Working -> Filled ... ; Reduced and Cancelled at any time
    replace  Replaced, then as after Accepted; or Refused alone, and the order stands as it stood
    cancel   Cancelled, or Refused
    correct  Corrected, then Rebooked for each later execution that earned something else by it; or Refused

An order is over after `Cancelled`, `Rejected`, or a `Filled` or `Corrected` whose `remaining` is 0; after that nothing but
`Corrected` and `Rebooked` speaks of it. `LegFilled` events directly follow the `Filled` of their combo.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from ibstream.contracts.orders import Side
from ibstream.simulation.tickets import Hours, Leg, OcaType, OrderId, OrderType, Ticket, TimeInForce

__all__ = [
    "Accepted",
    "CancelReason",
    "Cancelled",
    "Corrected",
    "Event",
    "Filled",
    "Held",
    "HoldReason",
    "Hours",
    "Leg",
    "LegFilled",
    "OcaType",
    "OrderId",
    "OrderType",
    "Part",
    "Rebooked",
    "Reduced",
    "Refused",
    "Rejected",
    "Replaced",
    "Side",
    "Ticket",
    "TimeInForce",
    "WhatIf",
    "Working",
    "WorkingOrder",
]


class HoldReason(StrEnum):
    """Why an order in the book does not work yet. IBKR shows all of them but the first as PreSubmitted."""

    UNTRANSMITTED = "untransmitted"
    """`transmit=False`: it has not left the Gateway."""
    PARENT = "parent"
    """Its parent has not filled."""
    GOOD_AFTER = "good_after"
    """Its time has not come; `until_ns` says when."""
    AUCTION = "auction"
    """It waits for the closing or opening auction; `until_ns` says when."""
    SESSION = "session"
    """Its exchange is closed; `until_ns` says when it will be placed. IBKR warns with 399."""
    TRIGGER = "trigger"
    """The price has not come to its stop or trigger. IBKR's `whyHeld` is then `trigger`."""


class Part(msgspec.Struct, frozen=True):
    """What an order has traded of one instrument."""

    value: Decimal = Decimal(0)
    """Sum of quantity, price and multiplier, in the instrument's currency."""
    charged: Decimal = Decimal(0)
    """Commission, USD."""


class WorkingOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is in the book, held or working."""

    ticket: Ticket
    number: int = 0
    """Counts the orders of an engine as they came; older orders meet a tick first."""
    hold: HoldReason | None = None
    """Why it does not work yet; None for an order that does."""
    hold_until_ns: int | None = None
    """When the hold ends, if that is a matter of time."""
    expires_ns: int | None = None
    """When the order ends by itself; None for never."""
    pauses_ns: int | None = None
    """When the session ends in which it works; None where it works at any time."""
    filled: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    """Traded so far: the sum of quantity times price, without the multiplier."""
    rested: bool = False
    """Whether it has waited in the book, so that its next fill adds liquidity."""
    triggered: bool = False
    """Whether a stop or touched order has become a market or limit order."""
    stop_price: Decimal | None = None
    """Where a stop or touched order triggers now; moves with a trailing order."""
    limit_price: Decimal | None = None
    """The limit it works at now: the ticket's, or what a trailing or market-to-limit order made of it."""
    started_ns: int = 0
    """When it began to work; an algo paces itself from here."""
    started_sequence: int = -1
    """The tick that stood then; a pegged order trades with later ones."""
    is_filled: bool = False
    """Whether it ended by filling whole, whatever was corrected since."""
    parts: tuple[Part, ...] = ()
    """What was traded and charged so far: one part for the order, or one for each leg of a combo."""

    @property
    def remaining(self) -> Decimal:
        """Still to be filled."""
        return self.ticket.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """Over all fills so far; 0 before the first."""
        return self.value / self.filled if self.filled else Decimal(0)


class CancelReason(StrEnum):
    """Why an order ended unfilled."""

    REQUESTED = "requested"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    """The rest of an IOC order that nobody took at once."""
    FILL_OR_KILL = "fill_or_kill"
    """A FOK order that could not be filled whole at once."""
    EXPIRED = "expired"
    """A DAY or GTD order at the end of its time."""
    AUCTION = "auction"
    """A LOC, or a LMT with OPG, that the auction's price did not reach."""
    OCA = "oca"
    """Another order of its one-cancels-all group filled."""
    PARENT = "parent"
    """Its parent ended without having filled whole."""
    SYSTEM = "system"
    """By command, as if IBKR had ended it; `text` says why."""


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    order_id: OrderId
    time_ns: int


class Accepted(_Event, frozen=True, kw_only=True):
    """The order was taken. `Held`, `Working`, `Filled` or `Cancelled` follow in the same answer."""


class Held(_Event, frozen=True, kw_only=True):
    """The order is in the book but does not work yet."""

    reason: HoldReason
    until_ns: int | None = None
    """When it will be placed, for GOOD_AFTER, AUCTION and SESSION."""


class Working(_Event, frozen=True, kw_only=True):
    """The order works in the book: at first, after a change, and once a hold has ended. Fills may follow in the same answer."""


class Replaced(_Event, frozen=True, kw_only=True):
    """The order was changed; what stands now is `engine.order(order_id)`. Fills may follow in the same answer."""


class Reduced(_Event, frozen=True, kw_only=True):
    """Another order of its OCA group filled, and this one shrank."""

    quantity: Decimal
    """The order's whole quantity from now on."""
    remaining: Decimal


class _Execution(_Event, frozen=True, kw_only=True):
    exec_id: str
    """Unique for ever, in IBKR's form: `0000e0d5.69dd7411.01.01`. The last segment counts corrections, from 01."""
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    """USD; the commissions of an order's fills add up to the order's. 0 for the combo itself: its legs pay."""
    realized_pnl: Decimal | None
    """In the instrument's currency, commissions deducted; None where the fill closed nothing."""
    usd_rate: Decimal = Decimal(1)
    """USD for one unit of the instrument's currency when it executed."""
    cumulative_quantity: Decimal
    """Filled so far of this order, or of this leg, the execution included."""
    average_price: Decimal


class Filled(_Execution, frozen=True, kw_only=True):
    """One execution. The order is finished when `remaining` is 0."""

    remaining: Decimal
    added_liquidity: bool
    combo: bool = False
    """The execution of a combo as such. It changed no position: the `LegFilled` events that follow did."""


class LegFilled(_Execution, frozen=True, kw_only=True):
    """The execution of one leg of a combo. Its id has five segments: `0000e0d5.69dd7411.01.02.01` for the first leg."""

    leg: int
    """Which leg of the ticket, from 0."""


class Corrected(_Execution, frozen=True, kw_only=True):
    """An execution that replaces an earlier one of the same order: the same id but for the last segment, counted up."""

    replaces: str
    """The id of the execution that no longer counts."""
    remaining: Decimal
    executed_ns: int
    """When the execution took place."""


class Rebooked(_Event, frozen=True, kw_only=True):
    """A correction of an earlier execution changed what this one earned; nothing else of it has changed."""

    exec_id: str
    realized_pnl: Decimal | None
    """As in `Filled`."""


class Cancelled(_Event, frozen=True, kw_only=True):
    """The order ended with `remaining` unfilled. Nothing follows."""

    reason: CancelReason
    remaining: Decimal
    text: str = ""
    """For `SYSTEM`: what the system says."""


class Rejected(_Event, frozen=True, kw_only=True):
    """A new order was not taken. Code and text are IBKR's."""

    code: int
    text: str


class Refused(_Event, frozen=True, kw_only=True):
    """A change or a cancel could not be done; the order, if there is one, stands as it stood. Code and text are IBKR's."""

    code: int
    text: str


_OfExecution = Filled | LegFilled | Corrected | Rebooked
Event = Accepted | Held | Working | Replaced | Reduced | _OfExecution | Cancelled | Rejected | Refused


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What an order would do to the account if it filled now. All USD."""

    initial_margin_before: Decimal
    initial_margin_after: Decimal
    maintenance_margin_before: Decimal
    maintenance_margin_after: Decimal
    equity_with_loan_before: Decimal
    equity_with_loan_after: Decimal
    commission_min: Decimal
    commission_max: Decimal
    warning_text: str = ""
    """Why the order would not be taken now, as IBKR words it; empty if it would."""

    @property
    def commission(self) -> Decimal | None:
        """The commission, where it is certain; None between `commission_min` and `commission_max`."""
        return self.commission_max if self.commission_min == self.commission_max else None
