"""Every input in every state: no cell may break the rules of a step."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from unit.broker.stories import (
    COMBO,
    NOW,
    PERM_ID,
    Story,
    charged,
    check_step,
    code,
    executed,
    seen,
    sent,
    status,
    submit,
    working,
)

from ibstream.contracts.orders import CommissionCharged, OrderFilled, OrderStatus, OrderStatusChanged
from ibstream.ibkr.codes import CODES
from ibstream_broker.domain.fills import line_of
from ibstream_broker.domain.inputs import (
    CodeReported,
    CommissionReported,
    Executed,
    OrderInput,
    OrderSeen,
    StatusReported,
)
from ibstream_broker.domain.lifecycle import step
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.domain.states import WORDS, Word, word

SAID = [*WORDS, "Suspended"]
"""Every word that IBKR has for a status, and one that it has not."""

ONE_OF_EACH_VERDICT = [202, 161, 201, 10349, 105, 322, 9999]

STATUSES: list[OrderInput] = [
    *(status(said, filled) for said in SAID for filled in (0, 40, 100, 120)),
    *(status(said, why_held="locate") for said in SAID),
    status("Submitted", perm_id=0),
]
SEEN: list[OrderInput] = [
    *(seen(said) for said in SAID),
    *(seen(said, perm_id=0, text="capped") for said in ("PreSubmitted", "PendingSubmit")),
    seen(quantity=Decimal(60), limit_price=Decimal("51.00"), stop_price=Decimal(49), time_in_force="IOC"),
    seen(quantity=Decimal(200), time_in_force="AUC"),
    seen(quantity=Decimal(0), limit_price=Decimal(0)),
]
LEDGER: list[OrderInput] = [
    *(executed(1, quantity, correction=correction) for quantity in (0, 40, 100, 120) for correction in (1, 2)),
    executed(2, 60),
    executed(1, 40, leg=1),
    executed(1, 100, kind="BAG"),
    charged(executed(1, 40)),
]
INPUTS: list[OrderInput] = [*STATUSES, *SEEN, *LEDGER, *(code(number, "so it is") for number in ONE_OF_EACH_VERDICT)]
ALL_CODES: list[CodeReported] = [code(number, "so it is") for number in (*CODES, 9999)]


def _records(order_status: OrderStatus) -> list[tuple[str, OrderRecord]]:
    """Everything that can be known of an order besides its status, with that status."""
    partly = Story(working()).take(executed(1, 40)).record
    combo = (
        Story(working(request={"instrument": COMBO})).take(executed(1, 40, kind="BAG"), executed(1, 40, leg=1)).record
    )
    kinds: dict[str, OrderRecord] = {
        "new": sent(),
        "shown": sent(perm_id=PERM_ID),
        "working": working(),
        "partly": partly,
        "cancel-asked": working(cancel_requested=True, reported_cancelled=True, reported_filled=Decimal(40)),
        "new-cancel-asked": sent(cancel_requested=True),
        "growing": msgspec.structs.replace(
            partly, wanted=submit(quantity=Decimal(120), limit_price=Decimal("51.00")), modify_quantity=Decimal(120)
        ),
        "shrinking": msgspec.structs.replace(partly, wanted=submit(quantity=Decimal(60)), modify_quantity=Decimal(60)),
        "resent": sent(resent=True),
        "lost": sent(session_lost=True, missing_since=NOW),
        "doubted": working(doubted=True),
        "combo": combo,
    }
    return [
        (f"{order_status}-{name}", msgspec.structs.replace(one, status=order_status)) for name, one in kinds.items()
    ]


RECORDS = [pytest.param(record, id=name) for one in OrderStatus for name, record in _records(one)]


def _kills(record: OrderRecord, happened: OrderInput) -> bool:
    """Whether an input may be the end of an order that has none: written down apart from the code that is tested."""
    match happened:
        case StatusReported():
            return word(happened.status) in (Word.CANCELLED, Word.FILLED)
        case CodeReported():
            never_worked = not record.worked and record.status not in (
                OrderStatus.SUBMITTED,
                OrderStatus.PARTIALLY_FILLED,
            )
            return happened.cancelled or (happened.dead_if_new and never_worked and not record.resent)
        case Executed():
            whole = max(record.request.quantity, record.modify_quantity or Decimal(0))
            others = sum(
                one.quantity
                for key, one in record.executions.items()
                if not one.leg and key != line_of(happened.exec_id)
            )
            return others + happened.quantity >= whole or record.reported_cancelled
        case _:
            return False


def check_cell(record: OrderRecord, happened: OrderInput) -> OrderRecord:
    """The rules of a step, of the ledger, and of what may end an order. Returns the record after."""
    after, events = step(record, happened, NOW)
    check_step(record, after, events)
    assert step(after, happened, NOW) == (after, ()), "said twice, told twice"
    if after.is_final and not record.is_final:
        assert _kills(record, happened), "an early death"
    lines = {line_of(one.exec_id) for one in [happened] if isinstance(one, Executed)}
    assert {key: line for key, line in after.executions.items() if key not in lines} == {
        key: line for key, line in record.executions.items() if key not in lines
    }, "a fill was changed that nobody spoke of"
    fills = [event for event in events if isinstance(event, OrderFilled)]
    assert [one.exec_id for one in fills] == _news(record, happened)
    charges = [event for event in events if isinstance(event, CommissionCharged)]
    is_charge = isinstance(happened, CommissionReported) and happened.exec_id not in record.commissions
    assert len(charges) == is_charge
    return after


def _news(record: OrderRecord, happened: OrderInput) -> list[str]:
    """The execution id that has to be published; the ids of these tests sort as text."""
    if not isinstance(happened, Executed):
        return []
    known = record.executions.get(line_of(happened.exec_id))
    return [happened.exec_id] if known is None or happened.exec_id > known.exec_id else []


@pytest.mark.parametrize("record", RECORDS)
def test_every_input_in_every_state_keeps_the_rules(record: OrderRecord) -> None:
    """Over the whole product, and over every pair of inputs, see `check_cell`; what is said twice changes nothing more."""
    for first in INPUTS:
        after = check_cell(record, first)
        for second in INPUTS:
            changed, events = step(after, second, NOW)
            check_step(after, changed, events)


@pytest.mark.parametrize("record", RECORDS)
def test_every_code_in_every_state_keeps_the_rules(record: OrderRecord) -> None:
    """Every listed one, and one that is not."""
    for one in ALL_CODES:
        check_cell(record, one)


@pytest.mark.parametrize("record", [one for one in RECORDS if one.values[0].is_final])  # type: ignore[union-attr]
def test_an_outcome_stands_and_only_the_ledger_goes_on(record: OrderRecord) -> None:
    """After it nothing is told but executions and commissions."""
    for one in INPUTS:
        after, events = step(record, one, NOW)
        assert after.status is record.status
        assert not any(isinstance(event, OrderStatusChanged) for event in events)
        if isinstance(one, OrderSeen | StatusReported):
            assert after.request == record.request


@pytest.mark.parametrize(
    ("said", "inputs"),
    [
        (said, kind)
        for said in SAID
        if WORDS.get(said) not in (Word.WORKING, Word.CANCELLING, Word.CANCELLED)
        for kind in ("seen", "status")
    ],
)
def test_a_word_that_does_not_say_so_never_ends_an_order(said: str, inputs: str) -> None:
    """`Filled` without executions waits for them; an unlisted word is looked up."""
    one: Any = seen(said) if inputs == "seen" else status(said, 100 if said == "Filled" else 0)
    for before in OrderStatus:
        for _, record in _records(before):
            if not record.is_final and record.filled < 100:
                assert not step(record, one, NOW)[0].is_final
