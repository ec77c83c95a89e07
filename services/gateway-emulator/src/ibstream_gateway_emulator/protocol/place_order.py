"""The longest message of the protocol: placeOrder, some hundred fields, many of them present only under conditions.

All fields are read under their names in the API, so that an attribute which is not supported can be refused by name. The
few that matter here have a typed place of their own in `PlaceOrder`.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from ibstream_gateway_emulator.protocol.errors import FieldError
from ibstream_gateway_emulator.protocol.fields import Contract, Cursor

_FA_PROFILE_GONE_SINCE = 177

_SECURITY_ID = ("secIdType", "secId")
_TERMS = (
    "ocaGroup", "account", "openClose", "origin", "orderRef", "transmit", "parentId", "blockOrder", "sweepToFill",
    "displaySize", "triggerMethod", "outsideRth", "hidden",
)  # fmt: skip
_ALLOCATION = (
    "sharesAllocation", "discretionaryAmt", "goodAfterTime", "goodTillDate", "faGroup", "faMethod", "faPercentage",
)  # fmt: skip
_EXECUTION = (
    "modelCode", "shortSaleSlot", "designatedLocation", "exemptCode", "ocaType", "rule80A", "settlingFirm", "allOrNone",
    "minQty", "percentOffset", "eTradeOnly", "firmQuoteOnly", "nbboPriceCap", "auctionStrategy", "startingPrice",
    "stockRefPrice", "delta", "stockRangeLower", "stockRangeUpper", "overridePercentageConstraints", "volatility",
    "volatilityType", "deltaNeutralOrderType", "deltaNeutralAuxPrice",
)  # fmt: skip
_DELTA_NEUTRAL_ORDER = (
    "deltaNeutralConId", "deltaNeutralSettlingFirm", "deltaNeutralClearingAccount", "deltaNeutralClearingIntent",
    "deltaNeutralOpenClose", "deltaNeutralShortSale", "deltaNeutralShortSaleSlot", "deltaNeutralDesignatedLocation",
)  # fmt: skip
_TRAIL_AND_SCALE = (
    "continuousUpdate", "referencePriceType", "trailStopPrice", "trailingPercent", "scaleInitLevelSize",
    "scaleSubsLevelSize", "scalePriceIncrement",
)  # fmt: skip
_SCALE = (
    "scalePriceAdjustValue", "scalePriceAdjustInterval", "scaleProfitOffset", "scaleAutoReset", "scaleInitPosition",
    "scaleInitFillQty", "scaleRandomPercent",
)  # fmt: skip
_HEDGE = ("scaleTable", "activeStartTime", "activeStopTime", "hedgeType")
_CLEARING = ("optOutSmartRouting", "clearingAccount", "clearingIntent", "notHeld", "deltaNeutralContract")
_CONTRACT_HEDGE = ("deltaNeutralContractConId", "deltaNeutralContractDelta", "deltaNeutralContractPrice")
_PRICING = ("algoId", "whatIf", "orderMiscOptions", "solicited", "randomizeSize", "randomizePrice")
_PEG_BENCH = (
    "referenceContractId", "isPeggedChangeAmountDecrease", "peggedChangeAmount", "referenceChangeAmount",
    "referenceExchangeId",
)  # fmt: skip
_ADJUSTED = (
    "adjustedOrderType", "triggerPrice", "lmtPriceOffset", "adjustedStopPrice", "adjustedStopLimitPrice",
    "adjustedTrailingAmount", "adjustableTrailingUnit", "extOperator", "softDollarTierName", "softDollarTierValue",
    "cashQty", "mifid2DecisionMaker", "mifid2DecisionAlgo", "mifid2ExecutionTrader", "mifid2ExecutionAlgo",
    "dontUseAutoPriceForHedge", "isOmsContainer", "discretionaryUpToLimitPrice", "usePriceMgmtAlgo", "duration",
    "postToAts", "autoCancelParent", "advancedErrorOverride", "manualOrderTime",
)  # fmt: skip
_PEG_BEST = ("minCompeteSize", "competeAgainstBestOffset")
_PEG_MID = ("midOffsetAtWhole", "midOffsetAtHalf")

_CONDITION_FIELDS = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}
"""Number of fields after its type of a condition: price, time, margin, execution, volume, percent change."""
_LEG_FIELDS = 8


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A new order, or a change of a working one with the same id."""

    order_id: int
    contract: Contract
    action: str
    quantity: Decimal | None
    order_type: str
    limit_price: Decimal | None
    aux_price: Decimal | None
    tif: str
    attributes: dict[str, str]
    """Every other field, under its name in the API, as it came."""

    @property
    def account(self) -> str:
        """The account the order is for; empty for the only one."""
        return self.attributes["account"]

    @property
    def order_ref(self) -> str:
        """The client's own name of the order."""
        return self.attributes["orderRef"]

    @property
    def what_if(self) -> bool:
        """Whether only margin and commission are asked for, and nothing is to be placed."""
        return self.attributes["whatIf"] == "1"

    @property
    def outside_rth(self) -> bool:
        """Whether the order may fill outside regular trading hours."""
        return self.attributes["outsideRth"] == "1"


def read_place_order(cursor: Cursor) -> PlaceOrder:
    """Read the message from behind its id. Raises `FieldError` where a field cannot be read."""
    order_id, contract = cursor.integer(), cursor.twelve()
    attributes: dict[str, str] = {}
    _take(cursor, attributes, _SECURITY_ID)
    action, quantity, order_type = cursor.text(), cursor.decimal(), cursor.text()
    limit_price, aux_price, tif = cursor.decimal(), cursor.decimal(), cursor.text()
    _take(cursor, attributes, _TERMS)
    _read_combination(cursor, attributes)
    _take(cursor, attributes, _ALLOCATION)
    if cursor.server_version < _FA_PROFILE_GONE_SINCE:
        _take(cursor, attributes, ("faProfile",))
    _read_execution(cursor, attributes)
    _read_hedge_and_algo(cursor, attributes)
    _read_pricing(cursor, attributes, order_type)
    _read_best_and_mid(cursor, attributes, order_type)
    return PlaceOrder(
        order_id=order_id,
        contract=contract,
        action=action,
        quantity=quantity,
        order_type=order_type,
        limit_price=limit_price,
        aux_price=aux_price,
        tif=tif,
        attributes=attributes,
    )


def _take(cursor: Cursor, attributes: dict[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        attributes[name] = cursor.text()


def _count(cursor: Cursor, attributes: dict[str, str], name: str, fields_each: int) -> None:
    """A number, kept under `name`, and that many groups of fields, which are skipped."""
    number = cursor.integer()
    attributes[name] = str(number)
    for _ in range(number * fields_each):
        cursor.text()


def _read_combination(cursor: Cursor, attributes: dict[str, str]) -> None:
    if not cursor.contract.is_combination:
        return
    _count(cursor, attributes, "comboLegs", _LEG_FIELDS)
    _count(cursor, attributes, "orderComboLegs", 1)
    _count(cursor, attributes, "smartComboRoutingParams", 2)


def _read_execution(cursor: Cursor, attributes: dict[str, str]) -> None:
    _take(cursor, attributes, _EXECUTION)
    if attributes["deltaNeutralOrderType"]:
        _take(cursor, attributes, _DELTA_NEUTRAL_ORDER)
    _take(cursor, attributes, _TRAIL_AND_SCALE)
    if _is_positive(attributes["scalePriceIncrement"]):
        _take(cursor, attributes, _SCALE)


def _read_hedge_and_algo(cursor: Cursor, attributes: dict[str, str]) -> None:
    _take(cursor, attributes, _HEDGE)
    if attributes["hedgeType"]:
        _take(cursor, attributes, ("hedgeParam",))
    _take(cursor, attributes, _CLEARING)
    if attributes["deltaNeutralContract"] == "1":
        _take(cursor, attributes, _CONTRACT_HEDGE)
    _take(cursor, attributes, ("algoStrategy",))
    if attributes["algoStrategy"]:
        _count(cursor, attributes, "algoParams", 2)


def _read_pricing(cursor: Cursor, attributes: dict[str, str], order_type: str) -> None:
    _take(cursor, attributes, _PRICING)
    if order_type in ("PEG BENCH", "PEGBENCH"):
        _take(cursor, attributes, _PEG_BENCH)
    _read_conditions(cursor, attributes)
    _take(cursor, attributes, _ADJUSTED)


def _read_conditions(cursor: Cursor, attributes: dict[str, str]) -> None:
    number = cursor.integer()
    attributes["conditions"] = str(number)
    for _ in range(number):
        kind = cursor.integer()
        if kind not in _CONDITION_FIELDS:
            raise FieldError(f"{kind} is no kind of order condition")
        for _ in range(_CONDITION_FIELDS[kind]):
            cursor.text()
    if number:
        _take(cursor, attributes, ("conditionsIgnoreRth", "conditionsCancelOrder"))


def _read_best_and_mid(cursor: Cursor, attributes: dict[str, str], order_type: str) -> None:
    if cursor.contract.exchange == "IBKRATS":
        _take(cursor, attributes, ("minTradeQty",))
    if order_type in ("PEG BEST", "PEGBEST"):
        _take(cursor, attributes, _PEG_BEST)
        if attributes["competeAgainstBestOffset"] == "Infinite":
            _take(cursor, attributes, _PEG_MID)
    elif order_type in ("PEG MID", "PEGMID"):
        _take(cursor, attributes, _PEG_MID)


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text or 0) < float("1.7976931348623157E308")
    except ValueError:
        raise FieldError(f"scalePriceIncrement is {text!r}, not a number") from None
