"""The transition table, over the whole product of states and triggers, and IBKR's words."""

from __future__ import annotations

import pytest
from unit.broker.stories import NOW, sent

from ibstream.contracts.orders import FINAL_STATUSES, OrderStatus
from ibstream_broker.domain.states import TRANSITIONS, WORDS, ImpossibleMove, Trigger, Word, advance, word
from ibstream_broker.domain.steps import moved

S, T = OrderStatus, Trigger

LEADS_TO: dict[Trigger, dict[OrderStatus, OrderStatus | None]] = {
    # In the order PENDING_SUBMIT, SUBMITTED, PARTIALLY_FILLED, PENDING_CANCEL, UNKNOWN; None where it cannot come.
    trigger: dict(zip((S.PENDING_SUBMIT, S.SUBMITTED, S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.UNKNOWN), row, strict=True))
    for trigger, row in {
        T.WORKS: (S.SUBMITTED, S.SUBMITTED, S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.SUBMITTED),
        T.WORKS_IN_PART: (*3 * [S.PARTIALLY_FILLED], S.PENDING_CANCEL, S.PARTIALLY_FILLED),
        T.PART: (*3 * [S.PARTIALLY_FILLED], S.PENDING_CANCEL, S.UNKNOWN),
        T.WHOLE: 5 * [S.FILLED],
        T.CANCELLING: 5 * [S.PENDING_CANCEL],
        T.ENDED: 5 * [S.CANCELLED],
        T.REFUSED: (S.REJECTED, None, None, S.REJECTED, S.REJECTED),
        T.UNCLEAR: 5 * [S.UNKNOWN],
        T.RESENT: (S.PENDING_SUBMIT, None, None, None, S.PENDING_SUBMIT),
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("trigger", list(Trigger))
@pytest.mark.parametrize("status", list(OrderStatus))
def test_where_each_trigger_leads_from_each_state(status: OrderStatus, trigger: Trigger) -> None:
    """Nowhere from an outcome; a refusal only from where the order was never seen working; all else as written here."""
    after = LEADS_TO[trigger].get(status)
    if after is None:
        with pytest.raises(ImpossibleMove, match=f"{status} cannot be moved by {trigger}"):
            advance(status, trigger)
    else:
        assert advance(status, trigger) is after


def test_every_state_stands_in_the_table() -> None:
    """Or `advance` would end in a KeyError, which says nothing."""
    assert set(TRANSITIONS) == set(OrderStatus)


@pytest.mark.parametrize("after", list(OrderStatus))
@pytest.mark.parametrize("status", sorted(FINAL_STATUSES))
def test_no_order_is_moved_out_of_its_outcome(status: OrderStatus, after: OrderStatus) -> None:
    """Whoever tries has read an old state."""
    with pytest.raises(ImpossibleMove, match="final"):
        moved(sent(status=status), after, NOW)


@pytest.mark.parametrize("said", [*WORDS, "", "Suspended"])
def test_shares_that_are_being_located_make_an_inactive_order_a_working_one(said: str) -> None:
    """And change no other word; what is unlisted stays so."""
    meaning = WORDS.get(said, Word.UNLISTED)
    assert word(said) is meaning
    assert word(said, "locate") is (Word.WORKING if meaning is Word.INACTIVE else meaning)
