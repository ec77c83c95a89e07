"""True lives of an order at a model of IBKR, told late, twice, out of order between the kinds, or not at all.

The model decides what really happens; the record hears of it through queues, one per kind of callback, each in order, as IBKR's
parts tell them. Whatever is heard when: no live order is called dead, nothing is told twice, and the lists settle the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.broker.stories import COMBO, EPOCH, NOW, PERM_ID, Story, charged, code, executed, listed, seen, sent, status

from ibstream.contracts.orders import CommissionCharged, OrderStatus
from ibstream_broker.domain.fills import line_of
from ibstream_broker.domain.inputs import CodeReported, Executed, OrderInput, OrderSeen, StatusReported
from ibstream_broker.domain.lifecycle import moved
from ibstream_broker.domain.modifies import base_of, modify_asked
from ibstream_broker.domain.reconcile import GONE_AFTER, Reconciliation, reconcile, session_lost

NEW, WORKS, FILLED, CANCELLED, REFUSED, ABSENT = "new", "works", "filled", "cancelled", "refused", "absent"
"""What became of the order at IBKR. `absent`: it never got there."""

AGREES = {
    OrderStatus.FILLED: (FILLED,),
    OrderStatus.CANCELLED: (CANCELLED,),
    OrderStatus.REJECTED: (REFUSED, ABSENT),
}
LEGS = 2


class Ibkr:
    """The truth about one order, and what was said of it and not heard yet."""

    def __init__(self, state: str, *, combo: bool) -> None:
        self.state = state
        self.combo = combo
        self.quantity = 100
        self.limit = Decimal("50.00")
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
        return seen(word, quantity=Decimal(self.quantity), limit_price=self.limit)

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


class OneOrder:
    """The record of one order beside the truth about it."""

    def __init__(self, state: str, *, combo: bool) -> None:
        """The order goes out, and arrives or not; mostly it is acknowledged at once, for what comes after that is told here."""
        request: dict[str, Any] = {"instrument": COMBO} if combo else {}
        self.ibkr = Ibkr(state, combo=combo)
        self.story = Story(sent(request=request))
        self.epoch = EPOCH
        self.now: datetime = NOW
        self.heard: list[OrderInput] = []
        self.corrected = False
        self.asked: dict[str, Decimal] | None = {"quantity": Decimal(100), "limit_price": Decimal("50.00")}
        """The terms that all modifies together have asked for; None once one was not taken."""
        if state == WORKS:
            self.story.take(self.ibkr.shown("Submitted"), status("Submitted"))

    # What happens at IBKR.

    def accept(self, first: bool) -> None:
        """Acknowledged and working."""
        if self.ibkr.state != NEW:
            return
        self.ibkr.state = WORKS
        words = ["PreSubmitted", "Submitted"][not first :]
        for word in words:
            self.ibkr.say(self.ibkr.shown(word), status(word))

    def refuse(self, number: int, inactive: bool) -> None:
        """Refused as new, with or without being shown."""
        if self.ibkr.state != NEW:
            return
        self.ibkr.state = REFUSED
        if inactive:
            self.ibkr.say(self.ibkr.shown("Inactive"), status("Inactive"))
        self.ibkr.say(code(number, "no"))

    def fill(self, quantity: int, tells: bool) -> None:
        """Some of it, or all; IBKR does not always say `Filled` of that."""
        if self.ibkr.state != WORKS:
            return
        rest = self.ibkr.quantity - self.ibkr.filled
        self.ibkr.execute(len(self.ibkr.lines) + 1, min(quantity, rest))
        word = "Filled" if self.ibkr.state == FILLED else self.ibkr.word()
        if tells:
            self.ibkr.say(self.ibkr.shown(word), status(word, self.ibkr.filled))

    def correct(self, number: int, quantity: int) -> None:
        """One of the fills was another one; also after the end, and never more than was asked for, or left when it ended."""
        if not self.ibkr.lines:
            return
        number = number % len(self.ibkr.lines) + 1
        line = self.ibkr.lines[number]
        others = self.ibkr.filled - int(line.quantity)
        correction = int(line.exec_id.rpartition(".")[2]) + 1
        room = self.ibkr.quantity - others - (self.ibkr.state == CANCELLED)
        self.corrected = True
        self.ibkr.execute(number, min(quantity, room), correction)

    def advise(self, number: int) -> None:
        """A text for people."""
        if self.ibkr.state not in (WORKS, NEW):
            return
        self.ibkr.say(code(number, "advice"))

    def repeat(self, locate: bool) -> None:
        """IBKR says again what it has said; or that shares are being located."""
        if self.ibkr.state != WORKS:
            return
        word = "Inactive" if locate else self.ibkr.word()
        self.ibkr.say(status(word, self.ibkr.filled, why_held="locate" if locate else ""))

    def end(self, tells: tuple[str, ...]) -> None:
        """Cancelled, by us or by IBKR, said in one way or two or not at all."""
        if self.ibkr.state != WORKS:
            return
        self.ibkr.state = CANCELLED
        if "status" in tells:
            self.ibkr.say(status("Cancelled", self.ibkr.filled))
        if "code" in tells:
            self.ibkr.say(code(202, "Order Canceled - reason:"))

    # What is asked for.

    def ask_to_cancel(self, arrives: bool) -> None:
        """Journalled, then sent; what comes too late is refused."""
        if self.story.record.is_final:
            return
        asked = msgspec.structs.replace(self.story.record, cancel_requested=True)
        self.story.apply(moved(asked, OrderStatus.PENDING_CANCEL, self.now))
        if arrives and self.ibkr.state == WORKS:
            self.ibkr.cancelling = True
            self.ibkr.say(status("PendingCancel", self.ibkr.filled))
        elif arrives:
            self.ibkr.say(code(10148 if self.ibkr.state in (FILLED, CANCELLED) else 10147, "cannot"))

    def refuse_the_cancel(self) -> None:
        """It works on."""
        if not self.ibkr.cancelling or self.ibkr.state != WORKS:
            return
        self.ibkr.cancelling = False
        self.ibkr.say(code(161, "not in a cancellable state"))

    def ask_to_modify(self, quantity: int | None, limit: str, answer: int) -> None:
        """Another quantity, or another price: taken, refused with a code, or lost (-1)."""
        alive = self.story.record.status in (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
        if not alive or self.ibkr.state != WORKS:
            return
        terms = {"limit_price": Decimal(limit)}
        if quantity is not None:
            terms = {"quantity": Decimal(max(quantity, self.ibkr.filled + 1))}
        wanted = msgspec.structs.replace(base_of(self.story.record), **terms)
        if wanted.quantity <= self.ibkr.filled:
            answer = 201
        self.story.apply(modify_asked(self.story.record, wanted))
        if answer == 0:
            assert wanted.limit_price is not None
            self.ibkr.quantity, self.ibkr.limit = int(wanted.quantity), wanted.limit_price
            self.ibkr.say(self.ibkr.shown(self.ibkr.word()))
            self._keeps_what_was_asked_for(terms)
            return
        self.asked = None
        if answer > 0:
            self.ibkr.say(code(answer, "no"))

    def _keeps_what_was_asked_for(self, terms: dict[str, Decimal]) -> None:
        """What a modify does not name stays as the ones before it asked for, shown or not."""
        if self.asked is not None:
            self.asked |= terms
            at_ibkr = {"quantity": Decimal(self.ibkr.quantity), "limit_price": self.ibkr.limit}
            assert at_ibkr == self.asked, "a modify undid the one before it"

    # What is heard.

    def hear(self, which: list[int], times: int) -> None:
        """The next callbacks of some kinds, once or twice."""
        for kind in which:
            waiting = [queue for queue in self.ibkr.said.values() if queue]
            if waiting:
                self._take(waiting[kind % len(waiting)].popleft(), times)

    def hear_all(self, last: type[OrderInput]) -> None:
        """Everything that was said, one kind after all others."""
        for kind, queue in sorted(self.ibkr.said.items(), key=lambda one: (one[0] is last, one[0].__name__)):
            while queue:
                self._take(queue.popleft(), 1)
            assert not self.ibkr.said[kind]

    def _take(self, happened: OrderInput, times: int) -> None:
        """An outcome that a callback brings tells all that was counted by then."""
        self.heard.append(happened)
        had = len(self.story.outcomes)
        self.story.take(*[happened] * times)
        for outcome in self.story.outcomes[had:]:
            if outcome.status is OrderStatus.FILLED:
                assert outcome.filled >= outcome.quantity
            if isinstance(happened, StatusReported) and not self.corrected:
                assert outcome.filled >= happened.filled

    def hear_of_money_again(self, which: int) -> None:
        """Any execution or commission of before."""
        money = [one for one in self.heard if not isinstance(one, OrderSeen) and hasattr(one, "exec_id")]
        if money:
            self.story.take(money[which % len(money)])

    def look_up(self, complete: bool) -> None:
        """The lists of this moment, in the running session; some callbacks are still on their way."""
        self.now += timedelta(seconds=5)
        self.story.apply(reconcile(self.story.record, self.ibkr.lists(epoch=self.epoch, complete=complete), self.now))

    def lose_the_session(self) -> None:
        """What was not heard never will be; the lists of the next session tell what is true."""
        self.ibkr.said.clear()
        self.story.apply(session_lost(self.story.record, self.now))
        self.epoch += 1
        self.look_up(complete=True)

    # What must hold.

    def check(self) -> None:
        """At every moment: nothing alive at IBKR has an outcome here, and an outcome is the true one."""
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

    def settle(self) -> None:
        """In the end the lists are asked for twice: then everything is told that happened, once and rightly."""
        for _ in range(2):
            self.now += GONE_AFTER
            self.story.apply(reconcile(self.story.record, self.ibkr.lists(epoch=self.epoch + 1), self.now))
        self.check()
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
            assert self.story.record.request.limit_price == self.ibkr.limit
            assert self.story.record.perm_id == PERM_ID


AMOUNT = st.sampled_from([1, 40, 60, 100])
"""Of 100 that were asked for: two of them are the whole, or leave a rest."""
ANSWER = st.sampled_from([0, 0, 0, 105, 201, -1])
TELLS = st.sampled_from([("status",), ("code",), ("status", "code"), ()])
KINDS = st.lists(st.integers(0, 4), min_size=1, max_size=6)
NUMBER = st.integers(0, 1_000)


def act(do: Callable[..., None], **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, dict[str, Any]]]:
    """Something to do, with arguments to draw for it."""
    return st.tuples(st.just(do), st.fixed_dictionaries(arguments))


FILLS = [act(OneOrder.fill, quantity=AMOUNT, tells=st.booleans()) for _ in range(6)]
HEARD = [act(OneOrder.hear, which=KINDS, times=st.integers(1, 2)) for _ in range(6)]
CHANGES = [
    act(
        OneOrder.ask_to_modify,
        quantity=st.sampled_from([30, 101, 150, 200, None, None]),
        limit=st.sampled_from(["49.00", "51.00"]),
        answer=ANSWER,
    )
    for _ in range(3)
]
ACTIONS = st.one_of(
    *(FILLS + HEARD + CHANGES),  # what is interesting happens more often
    act(OneOrder.accept, first=st.booleans()),
    act(OneOrder.refuse, number=st.sampled_from([110, 201, 321]), inactive=st.booleans()),
    act(OneOrder.correct, number=NUMBER, quantity=st.sampled_from([0, 30, 39, 59, 100])),
    act(OneOrder.advise, number=st.sampled_from([399, 404, 481, 2109, 10311, 10349])),
    act(OneOrder.repeat, locate=st.booleans()),
    act(OneOrder.end, tells=TELLS),
    act(OneOrder.ask_to_cancel, arrives=st.booleans()),
    act(OneOrder.refuse_the_cancel),
    act(OneOrder.hear_all, last=st.sampled_from([Executed, StatusReported, OrderSeen, CodeReported])),
    act(OneOrder.hear_of_money_again, which=NUMBER),
    act(OneOrder.look_up, complete=st.booleans()),
    act(OneOrder.lose_the_session),
)


@settings(max_examples=700, deadline=None)
@given(
    state=st.sampled_from([WORKS, WORKS, WORKS, WORKS, NEW, NEW, ABSENT]),
    combo=st.booleans(),
    actions=st.lists(ACTIONS, min_size=20, max_size=60),
)
def test_every_life_of_an_order_is_told_once_and_rightly(
    state: str, *, combo: bool, actions: list[tuple[Callable[..., None], dict[str, Any]]]
) -> None:
    """Filled, refused, cancelled, changed, corrected, as a combo, through lost sessions and half lists: see `OneOrder`."""
    order = OneOrder(state, combo=combo)
    for do, arguments in actions:
        do(order, **arguments)
        order.check()
    order.settle()
