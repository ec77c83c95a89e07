"""The two longest messages to a client: openOrder and completedOrder.

Most of their fields stand for order attributes that are not supported here; they are written as a Gateway writes them for a
plain order, taken from recorded sessions. What matters is in `OrderTerms`.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from ibstream_gateway_emulator.protocol.fields import DOUBLE_MAX, INTEGER_MAX
from ibstream_gateway_emulator.protocol.messages import Contract11, Message, Number, text_of

_FA_PROFILE_GONE_SINCE = 177
_NO_COMBINATION = ("", "0", "0", "0")
"""Description of the legs; number of legs, of their prices, of routing parameters."""
_NO_SCALE = (INTEGER_MAX, INTEGER_MAX, "")
_COMPETITION = ("", "100", "0.02", "", "")
"""minTradeQty, minCompeteSize, competeAgainstBestOffset, midOffsetAtWhole, midOffsetAtHalf."""
_NO_COMPETITION = ("", "", "", "", "")
"""The same five of a completed order."""
_LONG_MAX = "9223372036854775807"


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered."""

    contract: Contract11
    action: str
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    tif: str
    account: str
    order_ref: str
    perm_id: int
    outside_rth: bool

    def head(self) -> Iterator[str]:
        """The fields from the contract to orderRef, which both messages begin with."""
        for name in self.contract.__struct_fields__:
            yield text_of(getattr(self.contract, name))
        yield from (self.action, text_of(self.quantity), self.order_type)
        yield from (text_of(self.limit_price) if self.limit_price is not None else "0.0", "0.0", self.tif)
        yield from ("", self.account, "", "0", self.order_ref)


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """Where an order stands; margin and commission only for an order that was asked about and not placed."""

    status: str
    initial_margin: tuple[Number, Number, Number] | None = None
    """Before, change, after; in USD, as the two below."""
    maintenance_margin: tuple[Number, Number, Number] | None = None
    equity_with_loan: tuple[Number, Number, Number] | None = None
    commission: Number | None = None
    warning: str = ""

    def fields(self) -> Iterator[str]:
        """The status, nine margin figures ordered before, change, after, and what the order costs."""
        yield self.status
        for moment in range(3):
            for figure in (self.initial_margin, self.maintenance_margin, self.equity_with_loan):
                yield DOUBLE_MAX if figure is None else text_of(figure[moment])
        costs = text_of(self.commission)
        yield from (costs, costs, costs, "USD" if costs else "", self.warning)


class OpenOrder(Message, frozen=True, kw_only=True):
    """A working order, or one that has just ended."""

    HEAD = (5,)
    order_id: int
    client_id: int
    terms: OrderTerms
    state: OrderState
    what_if: bool = False

    def fields(self, server_version: int) -> Iterator[str]:
        """The fields in wire order, without the head."""
        terms = self.terms
        yield str(self.order_id)
        yield from terms.head()
        yield from (str(self.client_id), str(terms.perm_id), text_of(terms.outside_rth), "0", "0", "")
        # The deprecated share allocation: permId, account and quantity, as a Gateway writes it.
        yield f"{terms.perm_id}.0/{terms.account}/{terms.quantity:f}"
        yield from _allocation(server_version)
        yield from _execution()
        yield from ("0", "0", "", "", "", "")  # continuousUpdate to basisPointsType
        yield from _NO_COMBINATION
        yield from _NO_SCALE
        yield from ("", "0", "", "IB", "0", "0", "")  # hedgeType to algoStrategy
        yield from ("0", text_of(self.what_if))
        yield from self.state.fields()
        yield from ("0", "0", "0")  # randomizeSize, randomizePrice, number of conditions
        yield from ("None", *[DOUBLE_MAX] * 6, "0", "", "", "", "0", "1", "0", "0", "0")  # adjusted order
        yield from ("", "", "0")  # duration, postToAts, autoCancelParent
        yield from _COMPETITION


class CompletedOrder(Message, frozen=True, kw_only=True):
    """An order that ended today. It carries neither the client's id nor the order id; the permId names it."""

    HEAD = (101,)
    terms: OrderTerms
    status: str
    filled: Decimal
    completed_time: str
    completed_status: str

    def fields(self, server_version: int) -> Iterator[str]:
        """The fields in wire order, without the head."""
        terms = self.terms
        yield from terms.head()
        yield from (str(terms.perm_id), text_of(terms.outside_rth), "0", "0", "")
        yield from _allocation(server_version)
        yield from ("0", "", "-1", "", "", "", "", "", INTEGER_MAX, "0", "0", "", "3", "0", "", "0")
        yield from ("None", "", "0", "0", "0", "")  # deltaNeutralOrderType to its designated location
        yield from ("0", "0", "", "")  # continuousUpdate to trailingPercent
        yield from _NO_COMBINATION
        yield from _NO_SCALE
        yield from ("", "", "IB", "0", "0", "")  # hedgeType to algoStrategy
        yield from ("0", self.status, "0", "0", "0")  # solicited, status, randomized twice, number of conditions
        yield from (DOUBLE_MAX, DOUBLE_MAX, "0", "1", "0", "")  # trailStopPrice to autoCancelDate
        yield from (text_of(self.filled), INTEGER_MAX, "0")  # filledQuantity, refFuturesConId, autoCancelParent
        yield from ("Not an insider or substantial shareholder", "0", "0", _LONG_MAX)
        yield from (self.completed_time, self.completed_status)
        yield from _NO_COMPETITION


def _allocation(server_version: int) -> Iterator[str]:
    """faGroup, faMethod, faPercentage, up to 176 faProfile, modelCode, goodTillDate, rule80A, percentOffset, settlingFirm."""
    yield from ("", "", "")
    if server_version < _FA_PROFILE_GONE_SINCE:
        yield ""
    yield from ("", "", "", "", "")


def _execution() -> Iterator[str]:
    """shortSaleSlot to deltaNeutralDesignatedLocation of an open order."""
    yield from ("0", "", "-1", "0", "", "", "", "", "", INTEGER_MAX, "0", "0", "0", "")
    yield from ("3", "0", "0", "", "0", "0", "", "0")  # ocaType to volatilityType
    yield from ("None", "", "0", "", "", "", "?", "0", "0", "")
