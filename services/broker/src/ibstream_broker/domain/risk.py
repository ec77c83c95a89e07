"""The risk limits applied to an order, each recorded as it was applied. Pure.

An order that only reduces what the account holds (`Exposure.reduces`) is never refused by a limit on size, notional, position,
short sales, open orders or loss, nor for want of a quote: nobody is kept in a position. A strategy's own limits let pass what
reduces its own position, too. Symbols, rates and the collar hold for all. `limits` are what is set, `exposure` what an order is
added to, `quotes` and `collar` what its price is held against, `risk_checks` the limits one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import GroupKind, OcaType, RiskCheck, SubmitOrder
from ibstream_broker.domain.exposure import Exposure, after
from ibstream_broker.domain.limits import RiskLimits
from ibstream_broker.domain.quotes import LastQuote
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.risk_checks import CHECKS, Case
from ibstream_broker.domain.terms import Terms


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the limits say to an order."""

    checks: tuple[RiskCheck, ...] = ()
    """Every limit that was applied; empty where none is set."""
    refusal: Refusal | None = None
    """The first that did not pass."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An order, and all that it is judged by. The order has passed validation."""

    request: SubmitOrder
    """Of a change: the order as it is wanted."""
    terms: Terms
    exposure: Exposure
    """Without the order itself, and before its group."""
    quote: LastQuote | None = None
    filled: Decimal | None = None
    """Of a change: what is filled of its order already. None for a new order."""
    closes: bool = False
    """It can only reduce, whatever is held now: a bracket's child, which works after its parent."""


def decide(question: Question, limits: RiskLimits, now: datetime) -> Decision:
    """Apply every limit that is set to one order."""
    case = Case(
        question.request,
        question.terms,
        question.exposure,
        question.quote,
        limits.of(question.request.strategy),
        now,
        filled=question.filled,
        closes=question.closes,
    )
    outcomes = [outcome for check in CHECKS for outcome in check(case)]
    refusal = next((outcome.refusal for outcome in outcomes if not outcome.check.passed), None)
    return Decision(checks=tuple(outcome.check for outcome in outcomes), refusal=refusal)


def decide_group(
    kind: GroupKind, oca_type: OcaType, questions: Sequence[Question], limits: RiskLimits, now: datetime
) -> list[Decision]:
    """Apply the limits to the orders of a group one by one, the earlier ones counted in.

    The children of a bracket close what it opens. Of an OCA group that cannot overfill only one order's worth trades, so what its
    orders would do to a position is not added up.
    """
    adds_up = kind is GroupKind.OCA and oca_type is OcaType.REDUCE_WITHOUT_BLOCK
    decisions: list[Decision] = []
    for number, one in enumerate(questions):
        exposure = one.exposure
        for earlier in questions[:number]:
            same = earlier.request.instrument == one.request.instrument
            exposure = after(exposure, earlier.request, same_instrument=adds_up and same)
        closes = one.closes or (kind is GroupKind.BRACKET and number > 0)
        decisions.append(decide(msgspec.structs.replace(one, exposure=exposure, closes=closes), limits, now))
    return decisions
