"""What an order asks for that the emulator does not do. Nothing that would change what an order does is ignored in silence."""

from __future__ import annotations

from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder

REFUSED = (
    "secIdType", "blockOrder", "sweepToFill", "triggerMethod", "discretionaryAmt", "faGroup", "faMethod", "faPercentage",
    "faProfile", "modelCode", "shortSaleSlot", "percentOffset", "nbboPriceCap", "auctionStrategy", "startingPrice",
    "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper", "volatility", "volatilityType", "deltaNeutralOrderType",
    "deltaNeutralAuxPrice", "deltaNeutralContract", "continuousUpdate", "referencePriceType", "scaleInitLevelSize",
    "scaleSubsLevelSize", "scalePriceIncrement", "scaleTable", "activeStartTime", "activeStopTime", "hedgeType", "notHeld",
    "randomizeSize", "randomizePrice", "conditions", "adjustedOrderType", "adjustedStopPrice", "adjustedStopLimitPrice",
    "adjustedTrailingAmount", "triggerPrice", "isOmsContainer", "discretionaryUpToLimitPrice", "duration", "postToAts",
    "autoCancelParent", "minTradeQty", "minCompeteSize", "competeAgainstBestOffset", "midOffsetAtWhole", "midOffsetAtHalf",
)  # fmt: skip
"""Attributes that would change what the order does and are not supported, under their names in the API. Those that are
neither here nor in the ticket say who traded and how it is cleared; they are told back and change nothing."""
_SAYS_NOTHING = frozenset({None, "", "None", 0, ()})


def refuse_unsupported(order: PlaceOrder) -> None:
    """Raise `RequestError` for the first attribute that is set and would be ignored otherwise."""
    for name in REFUSED:
        if order.attributes.get(name) not in _SAYS_NOTHING:
            raise RequestError(codes.rejected(f"The emulator does not support the order attribute {name}."))
    if order.cash_quantity:
        raise RequestError(codes.NO_CASH_QUANTITY)
    if any(price is not None for price in order.leg_prices):
        raise RequestError(codes.rejected("The emulator does not support the order attribute orderComboLegs."))
