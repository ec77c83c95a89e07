"""What is done about each code that IBKR can say about a line."""

from __future__ import annotations

import pytest

from ibstream.contracts.feed import SubscriptionOutcome
from ibstream.ibkr.codes import CODES
from ibstream.ibkr.contracts import AmbiguousInstrument, InstrumentError, UnknownInstrument
from ibstream_feed.domain.register import Refusal
from ibstream_feed.verdicts import Then, judge, refusal_of

JUDGED: dict[tuple[Then, SubscriptionOutcome], tuple[int, ...]] = {
    (Then.GIVE_UP, SubscriptionOutcome.NO_PERMISSION): (354, 10168, 10186, 10187, 10189),
    (Then.DOUBT_FOR_LONG, SubscriptionOutcome.NO_PERMISSION): (10089,),
    (Then.LOOK_UP, SubscriptionOutcome.UNKNOWN_INSTRUMENT): (166, 200),
    (Then.SHRINK, SubscriptionOutcome.OVER_CAPACITY): (101, 309, 10190),
    (Then.DOUBT, SubscriptionOutcome.COMPETING_SESSION): (10197,),
    (Then.DOUBT, SubscriptionOutcome.REFUSED): (
        *(102, 320, 321, 322, 327, 330, 331, 385, 386, 10295, 10299, 10300, 10301, 10314, 10339),
        *(100, 420),
        *(504, 10999, -1),
    ),
}
"""By what is done and told; the last row holds codes that no table lists. All others are remarks."""

BY_TEXT = 162
"""Of historical data, with a text for each of its meanings; about a line it means nothing known."""

SAID = {code: judged for judged, codes in JUDGED.items() for code in codes}


@pytest.mark.parametrize("code", SAID)
def test_a_code_that_concerns_a_line(code: int) -> None:
    """What is done and what is told; IBKR's own words and code go with it."""
    then, outcome = SAID[code]
    assert judge(code, "words") == (then, Refusal(outcome, "words", code))


@pytest.mark.parametrize("code", sorted(CODES.keys() - SAID.keys() - {BY_TEXT}))
def test_any_other_listed_code_is_a_remark(code: int) -> None:
    """What data comes, IBKR says with the data (10167, 10090); farms, the link and orders are others' to hear about."""
    assert judge(code, "words")[0] is Then.IGNORE


@pytest.mark.parametrize("code", [2100, 2120, 2176, 2199])
def test_a_warning_is_a_remark_even_if_no_table_lists_it(code: int) -> None:
    """Such as 2176, of sizes that are fractions, which comes with subscriptions."""
    assert judge(code, "words")[0] is Then.IGNORE


@pytest.mark.parametrize("code", [2099, 2200])
def test_warnings_end_where_ibkr_says(code: int) -> None:
    """What no table lists may be an objection."""
    assert judge(code, "words")[0] is Then.DOUBT


@pytest.mark.parametrize("code", [162, 420, 10187, 10189])
def test_data_that_another_login_has_is_no_missing_permission(code: int) -> None:
    """IBKR uses codes of other things for it: it passes when the other one logs out."""
    then, why = judge(code, "Trading TWS session is connected from a different IP address")
    assert (then, why.outcome) == (Then.DOUBT, SubscriptionOutcome.COMPETING_SESSION)


@pytest.mark.parametrize("error", [UnknownInstrument("no such thing"), AmbiguousInstrument("two such things")])
def test_an_instrument_that_is_not_found(error: InstrumentError) -> None:
    """Told as unknown, with the words that say what to add."""
    assert refusal_of(error) == Refusal(SubscriptionOutcome.UNKNOWN_INSTRUMENT, str(error), 200)
