"""The risk limits one by one: each says what an order would make of it, whether that passes, and what to do if not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import Reason, RiskCheck, Side, SubmitOrder
from ibstream_broker.domain.collar import percent_beyond
from ibstream_broker.domain.exposure import ZERO, Exposure, leg_side
from ibstream_broker.domain.limits import Limits
from ibstream_broker.domain.quotes import LastQuote, is_quoted, wrong_with
from ibstream_broker.domain.refusal import Refusal, shown
from ibstream_broker.domain.terms import Terms

Scope = Literal["order", "strategy", "account"]

UNKNOWN = "unknown"
"""The value of a check that could not be made."""

SYMBOLS_LISTED_MAX = 20
"""Of a list of symbols, in the record of a check."""

_NO_SHORT_SIDE = frozenset({"CASH"})
"""Selling a currency pair buys its other currency."""


class Case:
    """An order with what several limits need of it."""

    def __init__(
        self,
        request: SubmitOrder,
        terms: Terms,
        exposure: Exposure,
        quote: LastQuote | None,
        limits: Limits,
        now: datetime,
        *,
        filled: Decimal | None,
        closes: bool,
    ) -> None:
        self.request, self.exposure, self.limits = request, exposure, limits
        self.multiplier = terms.multiplier
        self.is_new = filled is None
        self.left = request.quantity - (filled or ZERO)
        """What is still to be traded of it."""
        self.reduces = closes or exposure.reduces(request, self.left)
        self.reduces_own = self.reduces or exposure.reduces_own(request, self.left)
        self.quote = quote.price if quote is not None and is_quoted(request.instrument) else None
        self.no_quote = wrong_with(quote, now, limits.quote_age_max) if self.quote is not None else "there is no quote"
        """Why there is no quote to judge by; empty where there is."""
        own = request.limit_price if request.limit_price is not None else request.stop_price
        self.price = own if own is not None else self.quote
        """What one unit is taken to cost."""
        self.wants_quote = own is None and limits.require_live_quote
        """Whether what it costs is known from a quote alone, which must be a live one."""

    def notional(self, quantity: Decimal) -> Decimal | None:
        """Money, in the instrument's currency; None without any price."""
        return None if self.price is None else abs(self.price * quantity) * self.multiplier


class Outcome(NamedTuple):
    """One limit as it was applied, and the refusal if it did not pass."""

    check: RiskCheck
    refusal: Refusal


class _Limit(NamedTuple):
    name: str
    reason: Reason
    what: str
    remedy: str
    scope: Scope = "order"


_QUANTITY = _Limit("order_quantity_max", Reason.RISK_QUANTITY, "quantity", "ask for less")
_NOTIONAL = _Limit("order_notional_max", Reason.RISK_NOTIONAL, "price times quantity times multiplier", "ask for less")
_COLLAR = _Limit(
    "price_collar_percent", Reason.RISK_PRICE_COLLAR, "distance from the last quote in per cent", "mend the price"
)
_SHORT = _Limit("short_allowed", Reason.RISK_SHORT, "", "")
_POSITION = _Limit(
    "strategy_position_quantity_max", Reason.RISK_POSITION, "the strategy's position", "ask for less", "strategy"
)
_POSITION_NOTIONAL = _Limit(
    "strategy_position_notional_max", Reason.RISK_POSITION, "the worth of the strategy's position", "ask for less",
    "strategy",
)  # fmt: skip
_STRATEGY_OPEN = _Limit(
    "strategy_open_orders_max", Reason.RISK_OPEN_ORDERS, "the strategy's open orders", "cancel some", "strategy"
)
_ACCOUNT_OPEN = _Limit(
    "account_open_orders_max", Reason.RISK_OPEN_ORDERS, "the account's open orders", "cancel some", "account"
)
_STRATEGY_RATE = _Limit(
    "strategy_orders_per_s_max", Reason.RISK_ORDER_RATE, "the strategy's orders in a second", "send fewer", "strategy"
)
_ACCOUNT_RATE = _Limit(
    "account_orders_per_s_max", Reason.RISK_ORDER_RATE, "the account's orders in a second", "send fewer", "account"
)


def _symbols(case: Case) -> Iterator[Outcome]:
    names, limits = _symbols_of(case.request.instrument), case.limits
    if limits.symbols_denied:
        yield _listed("symbols_denied", limits.symbols_denied, names, names & limits.symbols_denied)
    if limits.symbols_allowed:
        yield _listed("symbols_allowed", limits.symbols_allowed, names, names - limits.symbols_allowed)


def _sizes(case: Case) -> Iterator[Outcome]:
    quantity = case.request.quantity
    if (bound := case.limits.order_quantity_max) is not None:
        yield _at_most(_QUANTITY, bound, quantity, exempt=case.reduces)
    if (bound := case.limits.order_notional_max) is not None:
        yield _worth(case, _NOTIONAL, bound, quantity, exempt=case.reduces)


def _collar(case: Case) -> Iterator[Outcome]:
    bound = case.limits.price_collar_percent
    if bound is None:
        return
    if case.quote is not None and not case.no_quote:
        yield _at_most(_COLLAR, bound, percent_beyond(case.request, case.quote), exempt=False)
    elif case.limits.require_live_quote and not case.reduces:
        yield _no_quote(case, _COLLAR, bound)
    else:
        yield _at_most(_COLLAR, bound, None, exempt=True)


def _short(case: Case) -> Iterator[Outcome]:
    if case.limits.short_allowed:
        return
    short = ZERO if case.reduces else min(_sold(case), default=ZERO)
    check = RiskCheck(limit=_SHORT.name, bound="false", value=_plain(min(short, ZERO)), passed=short >= 0)
    text = (
        f"it would leave the account {shown(-short)} short, and risk.short_allowed is false: sell no more than is held"
    )
    yield Outcome(check, Refusal(_SHORT.reason, text))


def _positions(case: Case) -> Iterator[Outcome]:
    worst = abs(case.exposure.strategy.at_worst(case.request.side, case.left))
    if (bound := case.limits.strategy_position_quantity_max) is not None:
        yield _at_most(_POSITION, bound, worst, exempt=case.reduces_own)
    if (bound := case.limits.strategy_position_notional_max) is not None:
        yield _worth(case, _POSITION_NOTIONAL, bound, worst, exempt=case.reduces_own)


def _open_orders(case: Case) -> Iterator[Outcome]:
    limits, exposure = case.limits, case.exposure
    if case.is_new and (bound := limits.strategy_open_orders_max) is not None:
        yield _count(_STRATEGY_OPEN, bound, exposure.strategy_open_orders + 1, exempt=case.reduces_own)
    if case.is_new and (bound := limits.account_open_orders_max) is not None:
        yield _count(_ACCOUNT_OPEN, bound, exposure.account_open_orders + 1, exempt=case.reduces)


def _rates(case: Case) -> Iterator[Outcome]:
    limits, exposure = case.limits, case.exposure
    if (bound := limits.strategy_orders_per_s_max) is not None:
        yield _count(_STRATEGY_RATE, bound, exposure.strategy_orders_last_s + 1, exempt=False)
    if (bound := limits.account_orders_per_s_max) is not None:
        yield _count(_ACCOUNT_RATE, bound, exposure.account_orders_last_s + 1, exempt=False)


def _loss(case: Case) -> Iterator[Outcome]:
    """A loss that is not known refuses, too: it is there a moment after the session is."""
    bound, pnl = case.limits.account_daily_loss_max, case.exposure.daily_pnl
    if bound is None:
        return
    limit = "account_daily_loss_max"
    if pnl is None:
        value, passed = UNKNOWN, case.reduces
        text = f"the account's profit and loss of the day is not known yet: ask again, or unset risk.{limit}"
    else:
        loss = max(-pnl, ZERO)
        value, passed = _plain(loss), case.reduces or loss < bound
        text = f"the account has lost {shown(loss)} today, risk.{limit} is {shown(bound)}: until tomorrow orders can only reduce"
    check = RiskCheck(limit=limit, bound=_plain(bound), value=value, passed=passed, scope="account")
    yield Outcome(check, Refusal(Reason.RISK_LOSS, text))


CHECKS: tuple[Callable[[Case], Iterator[Outcome]], ...] = (
    _symbols, _sizes, _collar, _short, _positions, _open_orders, _rates, _loss,
)  # fmt: skip
"""All limits, in the order in which they refuse. One that is not set yields nothing."""


def _at_most(limit: _Limit, bound: Decimal, value: Decimal | None, *, exempt: bool) -> Outcome:
    """A limit from above; a value that cannot be known passes."""
    check = RiskCheck(
        limit=limit.name,
        bound=_plain(bound),
        value=UNKNOWN if value is None else _plain(value),
        passed=exempt or value is None or value <= bound,
        scope=limit.scope,
    )
    text = f"{limit.what} would be {shown(value or ZERO)}, risk.{limit.name} is {shown(bound)}: {limit.remedy}, or raise it"
    return Outcome(check, Refusal(limit.reason, text))


def _count(limit: _Limit, bound: int, value: int, *, exempt: bool) -> Outcome:
    return _at_most(limit, Decimal(bound), Decimal(value), exempt=exempt)


def _worth(case: Case, limit: _Limit, bound: Decimal, quantity: Decimal, *, exempt: bool) -> Outcome:
    if case.wants_quote and case.no_quote and not exempt:
        return _no_quote(case, limit, bound)
    return _at_most(limit, bound, case.notional(quantity), exempt=exempt)


def _no_quote(case: Case, limit: _Limit, bound: Decimal) -> Outcome:
    check = RiskCheck(limit=limit.name, bound=_plain(bound), value=UNKNOWN, passed=False, scope=limit.scope)
    text = f"{case.no_quote} of {case.request.instrument.symbol} to judge it by, as risk.{limit.name} wants: see that the feed "
    text += "has it live, or set risk.require_live_quote to false"
    return Outcome(check, Refusal(Reason.RISK_NO_QUOTE, text))


def _listed(limit: str, listed: frozenset[str], names: set[str], wrong: set[str]) -> Outcome:
    bound = ",".join(sorted(listed)[:SYMBOLS_LISTED_MAX]) + ("…" if len(listed) > SYMBOLS_LISTED_MAX else "")
    check = RiskCheck(limit=limit, bound=bound, value=",".join(sorted(names)), passed=not wrong)
    text = f"{', '.join(sorted(wrong))} may not be traded: see risk.{limit}"
    return Outcome(check, Refusal(Reason.RISK_SYMBOL, text))


def _sold(case: Case) -> Iterator[Decimal]:
    """What the account holds of each thing that the order sells, once everything that sells it has filled."""
    request, held = case.request, case.exposure.legs
    if not request.instrument.legs:
        if request.side is Side.SELL and request.instrument.security_type not in _NO_SHORT_SIDE:
            yield case.exposure.account.at_worst(Side.SELL, case.left)
        return
    for number, leg in enumerate(request.instrument.legs):
        if leg_side(request.side, leg.side) is Side.SELL:
            sold = case.left * leg.ratio
            yield held[number].at_worst(Side.SELL, sold) if number < len(held) else -sold


def _symbols_of(instrument: Instrument) -> set[str]:
    return {instrument.symbol, *(leg.instrument.symbol for leg in instrument.legs)}


def _plain(value: Decimal) -> str:
    """As people write it, never in powers of ten; to six decimals."""
    written = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written
