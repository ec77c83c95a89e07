"""True lives of an order at a model of IBKR, told late, twice, out of order between the kinds, or not at all.

The model decides what really happens; the record hears of it through queues, one per kind of callback, each in order, as IBKR's
parts tell them. Whatever is heard when: no live order is called dead, nothing is told twice, and the lists settle the rest.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.broker.stories import COMBO, EPOCH, NOW, PERM_ID, Story, charged, code, executed, listed, seen, sent, status

from ibstream.contracts.orders import CommissionCharged, OrderStatus
from ibstream_broker.domain.fills import line_of
from ibstream_broker.domain.inputs import Executed, OrderInput, OrderSeen
from ibstream_broker.domain.lifecycle import modify_asked, moved
from ibstream_broker.domain.reconcile import GONE_AFTER, Reconciliation, reconcile, session_lost

NEW, WORKS, FILLED, CANCELLED, REFUSED, ABSENT = "new", "works", "filled", "cancelled", "refused", "absent"
"""What became of the order at IBKR. `absent`: it never got there."""

AGREES = {
    OrderStatus.FILLED: (FILLED,),
    OrderStatus.CANCELLED: (CANCELLED,),
    OrderStatus.REJECTED: (REFUSED, ABSENT),
}
LEGS = 2
WHAT = st.sampled_from
AMOUNT = st.integers(1, 120)


class Ibkr:
    """The truth about one order, and what was said of it and not heard yet."""

    def __init__(self, state: str, *, combo: bool) -> None:
        self.state = state
        self.combo = combo
        self.quantity = 100
        self.cancelling = False
        self.lines: dict[int, Executed] = {}
        self.said: dict[type[OrderInput], deque[OrderInput]] = {}

    @property
    def filled(self) -> int:
        return int(sum(one.quantity for one in self.lines.values()))

    def say(self, *inputs: OrderInput) -> None:
        for one in inputs:
            self.said.setdefault(type(one), deque()).append(one)

    def word(self) -> str:
        return "PendingCancel" if self.cancelling else "Submitted"

    def shown(self, word: str) -> OrderSeen:
        return seen(word, quantity=Decimal(self.quantity))

    def executions(self, line: Executed) -> list[Executed]:
        """Of a combo its legs' too."""
        if not self.combo:
            return [line]
        stem, _, correction = line.exec_id.rpartition(".")
        legs = [
            msgspec.structs.replace(line, exec_id=f"{stem}.{leg + 1:02}.{correction}", security_type="STK", con_id=leg)
            for leg in range(1, LEGS + 1)
        ]
        return [*legs, msgspec.structs.replace(line, security_type="BAG")]

    def execute(self, number: int, quantity: int, correction: int = 1) -> None:
        line = executed(number, quantity, correction=correction)
        self.lines[number] = line
        told = self.executions(line)
        self.say(*told, *(charged(one) for one in told))
        if self.state == WORKS and self.filled >= self.quantity:
            self.state = FILLED

    def lists(self, *, epoch: int, complete: bool = True) -> Reconciliation:
        """What is true now."""
        executions = [one for line in self.lines.values() for one in self.executions(line)]
        where: dict[str, Any] = {
            NEW: {"is_open": [self.shown("PendingSubmit")]},
            WORKS: {"is_open": [self.shown(self.word())]},
            FILLED: {"completed": [seen("Filled", quantity=Decimal(self.quantity))]},
            CANCELLED: {"completed": [self.shown("Cancelled")]},
        }.get(self.state, {})
        if not complete:
            executions = executions[::2]
        commissions = [charged(one) for one in executions]
        return listed(
            executions=executions, commissions=commissions, epoch=epoch, executions_complete=complete, **where
        )


class OneOrder(RuleBasedStateMachine):
    """The record of one order beside the truth about it."""

    @initialize(reaches=st.booleans(), combo=st.booleans())
    def send(self, reaches: bool, combo: bool) -> None:
        """It goes out, and arrives or not."""
        request: dict[str, Any] = {"instrument": COMBO} if combo else {}
        self.ibkr = Ibkr(NEW if reaches else ABSENT, combo=combo)
        self.story = Story(sent(request=request))
        self.epoch = EPOCH
        self.now: datetime = NOW
        self.heard: list[OrderInput] = []

    # What happens at IBKR.

    @precondition(lambda self: self.ibkr.state == NEW)
    @rule(first=st.booleans())
    def accept(self, first: bool) -> None:
        """Acknowledged and working."""
        self.ibkr.state = WORKS
        words = ["PreSubmitted", "Submitted"][not first :]
        for word in words:
            self.ibkr.say(self.ibkr.shown(word), status(word))

    @precondition(lambda self: self.ibkr.state == NEW)
    @rule(number=WHAT([110, 201, 321]), inactive=st.booleans())
    def refuse(self, number: int, inactive: bool) -> None:
        """Refused as new, with or without being shown."""
        self.ibkr.state = REFUSED
        if inactive:
            self.ibkr.say(self.ibkr.shown("Inactive"), status("Inactive"))
        self.ibkr.say(code(number, "no"))

    @precondition(lambda self: self.ibkr.state == WORKS)
    @rule(quantity=AMOUNT, tells=st.booleans())
    def fill(self, quantity: int, tells: bool) -> None:
        """Some of it, or all; IBKR does not always say `Filled` of that."""
        rest = self.ibkr.quantity - self.ibkr.filled
        self.ibkr.execute(len(self.ibkr.lines) + 1, min(quantity, rest))
        word = "Filled" if self.ibkr.state == FILLED else self.ibkr.word()
        if tells:
            self.ibkr.say(self.ibkr.shown(word), status(word, self.ibkr.filled))

    @precondition(lambda self: self.ibkr.lines)
    @rule(number=AMOUNT, quantity=st.integers(0, 120))
    def correct(self, number: int, quantity: int) -> None:
        """One of the fills was another one; also after the end, and never more than was asked for, or left when it ended."""
        number = number % len(self.ibkr.lines) + 1
        line = self.ibkr.lines[number]
        others = self.ibkr.filled - int(line.quantity)
        correction = int(line.exec_id.rpartition(".")[2]) + 1
        room = self.ibkr.quantity - others - (self.ibkr.state == CANCELLED)
        self.ibkr.execute(number, min(quantity, room), correction)

    @precondition(lambda self: self.ibkr.state in (WORKS, NEW))
    @rule(number=WHAT([399, 404, 481, 2109, 10311, 10349]))
    def advise(self, number: int) -> None:
        """A text for people."""
        self.ibkr.say(code(number, "advice"))

    @precondition(lambda self: self.ibkr.state == WORKS)
    @rule(locate=st.booleans())
    def repeat(self, locate: bool) -> None:
        """IBKR says again what it has said; or that shares are being located."""
        word = "Inactive" if locate else self.ibkr.word()
        self.ibkr.say(status(word, self.ibkr.filled, why_held="locate" if locate else ""))

    @precondition(lambda self: self.ibkr.state == WORKS)
    @rule(tells=WHAT([("status",), ("code",), ("status", "code"), ()]))
    def end(self, tells: tuple[str, ...]) -> None:
        """Cancelled, by us or by IBKR, said in one way or two or not at all."""
        self.ibkr.state = CANCELLED
        if "status" in tells:
            self.ibkr.say(status("Cancelled", self.ibkr.filled))
        if "code" in tells:
            self.ibkr.say(code(202, "Order Canceled - reason:"))

    # What is asked for.

    @precondition(lambda self: not self.story.record.is_final)
    @rule(arrives=st.booleans())
    def ask_to_cancel(self, arrives: bool) -> None:
        """Journalled, then sent; what comes too late is refused."""
        asked = msgspec.structs.replace(self.story.record, cancel_requested=True)
        self.story.apply(moved(asked, OrderStatus.PENDING_CANCEL, self.now))
        if arrives and self.ibkr.state == WORKS:
            self.ibkr.cancelling = True
            self.ibkr.say(status("PendingCancel", self.ibkr.filled))
        elif arrives:
            self.ibkr.say(code(10148 if self.ibkr.state in (FILLED, CANCELLED) else 10147, "cannot"))

    @precondition(lambda self: self.ibkr.cancelling and self.ibkr.state == WORKS)
    @rule()
    def refuse_the_cancel(self) -> None:
        """It works on."""
        self.ibkr.cancelling = False
        self.ibkr.say(code(161, "not in a cancellable state"))

    @precondition(
        lambda self: (
            self.story.record.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
            and self.ibkr.state == WORKS
        )
    )
    @rule(quantity=st.integers(1, 300), answer=WHAT([0, 0, 105, 201, 321, 2102, -1]))
    def ask_to_modify(self, quantity: int, answer: int) -> None:
        """Another quantity: taken, refused with a code, or lost (-1)."""
        quantity = max(quantity, self.ibkr.filled + 1)
        self.story.apply(modify_asked(self.story.record, Decimal(quantity)))
        if answer == 0:
            self.ibkr.quantity = quantity
            self.ibkr.say(self.ibkr.shown(self.ibkr.word()))
        elif answer > 0:
            self.ibkr.say(code(answer, "no"))

    # What is heard.

    @precondition(lambda self: any(self.ibkr.said.values()))
    @rule(which=st.integers(0, 4), times=st.integers(1, 2))
    def hear(self, which: int, times: int) -> None:
        """The next callback of some kind, once or twice."""
        waiting = [queue for queue in self.ibkr.said.values() if queue]
        happened = waiting[which % len(waiting)].popleft()
        self.heard.append(happened)
        self.story.take(*[happened] * times)

    @precondition(lambda self: self.heard)
    @rule(which=st.integers(0, 1_000))
    def hear_of_money_again(self, which: int) -> None:
        """Any execution or commission of before."""
        money = [one for one in self.heard if not isinstance(one, OrderSeen) and hasattr(one, "exec_id")]
        if money:
            self.story.take(money[which % len(money)])

    @rule(complete=st.booleans())
    def look_up(self, complete: bool) -> None:
        """The lists of this moment, in the running session; some callbacks are still on their way."""
        self.now += timedelta(seconds=5)
        self.story.apply(reconcile(self.story.record, self.ibkr.lists(epoch=self.epoch, complete=complete), self.now))

    @rule()
    def lose_the_session(self) -> None:
        """What was not heard never will be; the lists of the next session tell what is true."""
        self.ibkr.said.clear()
        self.story.apply(session_lost(self.story.record, self.now))
        self.epoch += 1
        self.look_up(complete=True)

    # What must hold.

    @invariant()
    def no_outcome_that_is_not_true(self) -> None:
        """At every moment: nothing alive at IBKR has an outcome here, and an outcome is the true one."""
        if not hasattr(self, "story"):
            return
        record = self.story.record
        if record.is_final:
            # Refused unheard or never there, and asked to end: it is called cancelled, for that is what was wanted.
            as_wanted = record.status is OrderStatus.CANCELLED and record.cancel_requested
            agrees = AGREES[record.status] + ((ABSENT, REFUSED) if as_wanted else ())
            assert self.ibkr.state in agrees, f"{record.status}, but at IBKR it is {self.ibkr.state}"
        assert len(self.story.outcomes) == record.is_final
        ids = [fill.exec_id for fill in self.story.fills]
        assert len(ids) == len(set(ids)), "a fill was told twice"
        charges = [event.exec_id for event in self.story.events if isinstance(event, CommissionCharged)]
        assert len(charges) == len(set(charges)), "a commission was told twice"

    def teardown(self) -> None:
        """In the end the lists are asked for twice: then everything is told that happened, once and rightly."""
        if not hasattr(self, "story"):
            return
        for _ in range(2):
            self.now += GONE_AFTER
            self.story.apply(reconcile(self.story.record, self.ibkr.lists(epoch=self.epoch + 1), self.now))
        self.no_outcome_that_is_not_true()
        record = self.story.record
        if self.ibkr.state == REFUSED and record.acknowledged and not record.refused and not record.is_final:
            # Shown once, the refusal lost with its session, listed nowhere: for all that is known it filled long ago.
            assert record.status is OrderStatus.UNKNOWN
            return
        assert record.is_final == (self.ibkr.state not in (NEW, WORKS))
        last = {line_of(fill.exec_id): (fill.exec_id, fill.quantity) for fill in self.story.fills}
        true = [one for line in self.ibkr.lines.values() for one in self.ibkr.executions(line)]
        assert last == {line_of(one.exec_id): (one.exec_id, one.quantity) for one in true}
        assert self.story.record.filled == self.ibkr.filled
        if self.ibkr.state == WORKS:
            assert self.story.record.status is not OrderStatus.UNKNOWN
            assert self.story.record.request.quantity == self.ibkr.quantity
            assert self.story.record.perm_id == PERM_ID


TestOneOrder = OneOrder.TestCase
TestOneOrder.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
