"""Where an order can stand and what moves it: the transition table, and what IBKR's words mean in it."""

from __future__ import annotations

from enum import StrEnum

from ibstream.contracts.orders import FINAL_STATUSES, OrderStatus


class Trigger(StrEnum):
    """What moves an order."""

    WORKS = "works"
    """IBKR works it, or holds it for the session, a trigger or shares to borrow."""
    WORKS_IN_PART = "works_in_part"
    """The same, and some of it has filled."""
    PART = "part"
    """An execution that leaves a rest. It says nothing about the rest."""
    WHOLE = "whole"
    """All of it has filled, by the ledger or by IBKR's lists."""
    CANCELLING = "cancelling"
    """A cancel is on its way; the order can still fill."""
    ENDED = "ended"
    """It is at an end and did not fill whole."""
    REFUSED = "refused"
    """It never came to life. An order that was seen working cannot be refused any more, only a change of it."""
    UNCLEAR = "unclear"
    """No clear answer."""
    RESENT = "resent"
    """It had provably never reached the Gateway, and goes out once more."""


class ImpossibleMove(AssertionError):  # noqa: N818 - named like the rule that it breaks
    """A trigger that cannot come in this state: the caller has decided wrongly."""


_S, _T = OrderStatus, Trigger

_ANYWHERE = {
    _T.WORKS: _S.SUBMITTED,
    _T.WORKS_IN_PART: _S.PARTIALLY_FILLED,
    _T.PART: _S.PARTIALLY_FILLED,
    _T.WHOLE: _S.FILLED,
    _T.CANCELLING: _S.PENDING_CANCEL,
    _T.ENDED: _S.CANCELLED,
    _T.UNCLEAR: _S.UNKNOWN,
}

TRANSITIONS: dict[OrderStatus, dict[Trigger, OrderStatus]] = {
    _S.PENDING_SUBMIT: {**_ANYWHERE, _T.REFUSED: _S.REJECTED, _T.RESENT: _S.PENDING_SUBMIT},
    _S.SUBMITTED: _ANYWHERE,
    # A correction can take the last fill back; the order is called partially filled all the same.
    _S.PARTIALLY_FILLED: {**_ANYWHERE, _T.WORKS: _S.PARTIALLY_FILLED},
    # A late word that it works does not take the cancel back.
    _S.PENDING_CANCEL: {
        **_ANYWHERE,
        **dict.fromkeys((_T.WORKS, _T.WORKS_IN_PART, _T.PART), _S.PENDING_CANCEL),
        _T.REFUSED: _S.REJECTED,
    },
    _S.UNKNOWN: {**_ANYWHERE, _T.PART: _S.UNKNOWN, _T.REFUSED: _S.REJECTED, _T.RESENT: _S.PENDING_SUBMIT},
    **{outcome: {} for outcome in FINAL_STATUSES},
}
"""The state that each trigger leads to. Nothing leads out of an outcome."""


def advance(status: OrderStatus, trigger: Trigger) -> OrderStatus:
    """The state after. Raises `ImpossibleMove` where the table has none."""
    after = TRANSITIONS[status].get(trigger)
    if after is None:
        raise ImpossibleMove(f"an order that is {status} cannot be moved by {trigger}: decide on what it is first")
    return after


class Word(StrEnum):
    """What IBKR's word for an order's status says."""

    ON_ITS_WAY = "on_its_way"
    """It has it, and nothing is decided; also of an order that waits to be transmitted."""
    WORKING = "working"
    CANCELLING = "cancelling"
    FILLED = "filled"
    CANCELLED = "cancelled"
    INACTIVE = "inactive"
    """Mostly refused, sometimes held: with `locate` among the reasons it is alive and waits for shares to borrow."""
    UNLISTED = "unlisted"


WORDS: dict[str, Word] = {
    "ApiPending": Word.ON_ITS_WAY,
    "PendingSubmit": Word.ON_ITS_WAY,
    "PreSubmitted": Word.WORKING,
    "Submitted": Word.WORKING,
    "PendingCancel": Word.CANCELLING,
    "Filled": Word.FILLED,
    "Cancelled": Word.CANCELLED,
    "ApiCancelled": Word.CANCELLED,
    "Inactive": Word.INACTIVE,
}
"""IBKR's words (source: its API documentation of order statuses)."""


def word(status: str, why_held: str = "") -> Word:
    """What `status` says, where `why_held` is told with it."""
    meaning = WORDS.get(status, Word.UNLISTED)
    return Word.WORKING if meaning is Word.INACTIVE and "locate" in why_held else meaning
