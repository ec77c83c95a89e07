"""What an IBKR code means for a stream of ticks, bars or a book. Unlike lines, these have no delayed form to fall back on."""

from __future__ import annotations

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.ibkr.codes import CodeClass, classify
from ibstream_feed.domain.register import Refusal
from ibstream_feed.domain.streams import Fate

_O = SubscriptionOutcome
_FATES: dict[CodeClass, tuple[Fate, SubscriptionOutcome]] = {
    CodeClass.BENIGN: (Fate.KEEP, _O.ACTIVE),
    CodeClass.INFO: (Fate.KEEP, _O.ACTIVE),
    CodeClass.CAPACITY: (Fate.FULL, _O.OVER_CAPACITY),
    CodeClass.PACING: (Fate.TOO_FAST, _O.REFUSED),
    CodeClass.LIVE_UPDATES_LOST: (Fate.AGAIN, _O.REFUSED),
    CodeClass.COMPETING_SESSION: (Fate.ELSEWHERE, _O.COMPETING_SESSION),
    CodeClass.NO_PERMISSION: (Fate.FORBIDDEN, _O.NO_PERMISSION),
    CodeClass.DELAYED_DATA: (Fate.FORBIDDEN, _O.NO_PERMISSION),  # of these there is no delayed form
    CodeClass.UNKNOWN_CONTRACT: (Fate.REFUSED, _O.UNKNOWN_INSTRUMENT),
}
_BOOK_RESET = 317
_PART_MISSING = 10090
_REAL_TIME_QUERY = 420
_TICK_BY_TICK = 10189
_REMARKS = range(2100, 2200)


def judge(code: int, text: str) -> tuple[Fate, Refusal]:
    """What a code means for the stream that it came about, and how to tell of it.

    420 and 10189 stand for several refusals, which their text tells apart. 317 empties a book that goes on; 10090 says that
    some of its exchanges are missing.
    """
    fate, outcome = _FATES.get(classify(code, text), (Fate.REFUSED, _O.REFUSED))
    if code in (_BOOK_RESET, _PART_MISSING) or code in _REMARKS:
        fate = Fate.KEEP
    elif code in (_REAL_TIME_QUERY, _TICK_BY_TICK) and outcome is not _O.COMPETING_SESSION:
        fate, outcome = _by_text(text.lower())
    return fate, Refusal(outcome, text, code)


def _by_text(folded: str) -> tuple[Fate, SubscriptionOutcome]:
    if "pacing" in folded:
        return Fate.TOO_FAST, _O.REFUSED
    if "permission" in folded or "subscri" in folded:
        return Fate.FORBIDDEN, _O.NO_PERMISSION
    return Fate.REFUSED, _O.REFUSED
