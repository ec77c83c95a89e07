"""What an IBKR code means for the line it came about."""

from __future__ import annotations

from enum import StrEnum

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.ibkr.contracts import InstrumentError
from ibstream_feed.domain.register import Refusal


class Then(StrEnum):
    """What is done about it."""

    IGNORE = "ignore"
    """A remark; what data comes, IBKR says with the data itself."""
    DOUBT = "doubt"
    """Ticks may come all the same. If they do not, the line is asked for again later."""
    DOUBT_FOR_LONG = "doubt_for_long"
    """Ticks may come all the same (10089 is told of data that then comes delayed). If not, the symbol is left alone for long."""
    GIVE_UP = "give_up"
    """The request is dead, and would be again."""
    LOOK_UP = "look_up"
    """The contract is not what it was: it is looked up anew."""
    SHRINK = "shrink"
    """The request is dead, because all lines are in use."""


_THEN = {
    CodeClass.NO_PERMISSION: (Then.GIVE_UP, SubscriptionOutcome.NO_PERMISSION),
    CodeClass.CAPACITY: (Then.SHRINK, SubscriptionOutcome.OVER_CAPACITY),
    CodeClass.UNKNOWN_CONTRACT: (Then.LOOK_UP, SubscriptionOutcome.UNKNOWN_INSTRUMENT),
    CodeClass.COMPETING_SESSION: (Then.DOUBT, SubscriptionOutcome.COMPETING_SESSION),
    CodeClass.VALIDATION: (Then.DOUBT, SubscriptionOutcome.REFUSED),
    CodeClass.PACING: (Then.DOUBT, SubscriptionOutcome.REFUSED),
    CodeClass.UNLISTED: (Then.DOUBT, SubscriptionOutcome.REFUSED),
}
"""Classes that are not here are remarks."""

_DELAYED_MAY_COME = 10089

_WARNINGS = range(2100, 2200)
"""IBKR's warnings, listed or not: none of them is about whether data comes."""

UNKNOWN_CODE = 200
"""IBKR's code for a contract that it does not know, or that fits several."""


def judge(code: int, text: str) -> tuple[Then, Refusal]:
    """What to do about a code that came about a line, and how to tell of it."""
    then, outcome = _THEN.get(classify(code, text), (Then.IGNORE, SubscriptionOutcome.REFUSED))
    if code in _WARNINGS:
        then = Then.IGNORE
    if code == _DELAYED_MAY_COME:
        then = Then.DOUBT_FOR_LONG
    return then, Refusal(outcome, text, code)


def no_answer(error: TimeoutError) -> Refusal:
    """How to tell of an instrument about which IBKR says nothing."""
    return Refusal(SubscriptionOutcome.REFUSED, str(error), 0)


def refusal_of(error: InstrumentError) -> Refusal:
    """How to tell of an instrument that IBKR does not know, or of which it knows several."""
    return Refusal(SubscriptionOutcome.UNKNOWN_INSTRUMENT, str(error), UNKNOWN_CODE)
