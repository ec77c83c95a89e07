"""What the fills add up to, instrument by instrument, set against what IBKR says is held.

The first listing of an account is taken over as it is; from then on every execution counts, whoever's order it was. What a
later listing says must have been true at some moment around it, by all executions heard of until `GRACE` after it: else it is
a mismatch. That ends when the execution that was missing turns up, when a listing agrees again, or when an operator takes
IBKR's word.

An execution counts once: what was seen is remembered for longer than IBKR lists it, and journalled with the fill.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from ibstream.contracts.orders import Side
from ibstream.contracts.portfolio import PositionMismatch
from ibstream_broker.domain.inputs import Executed, PositionsListed
from ibstream_broker.domain.movements import Listed, Movements
from ibstream_broker.domain.position_lines import (
    GRACE,
    NOTHING,
    ZERO,
    AccountLine,
    Journalled,
    PositionChange,
    PositionLine,
    SeenExecution,
    from_journal,
    journalled,
    seen_field,
    together,
)
from ibstream_broker.domain.position_steps import (
    after_execution,
    as_held,
    as_seen,
    signed,
    taken_over,
    told_apart,
    with_later,
)
from ibstream_broker.domain.seen_executions import KEPT_FOR, KEPT_MAX, SeenExecutions


class PositionBook:
    """The positions of one account. What its methods return is to be journalled and told; the book believes it at once.

    Whoever cannot journal a change starts again with `load`. The journal is the hash `orders:journal:positions:<account>`.
    Instants are aware; `now` and `asked_at` are of the caller's clock.
    """

    def __init__(self, account: str, *, blocking: bool = True, seen_max: int = KEPT_MAX) -> None:
        """`blocking`: whether a mismatch blocks orders (`broker.on_position_mismatch`), or is only reported."""
        self.account = account
        self._blocking = blocking
        self._seen_max = seen_max
        self._forget_everything()

    def _forget_everything(self) -> None:
        self._followed: AccountLine | None = None
        self._lines: dict[int, PositionLine] = {}
        self._seen = SeenExecutions(kept_max=self._seen_max)
        self._moves = Movements()
        self._doubts: dict[int, Listed] = {}
        self._judged: datetime | None = None

    def load(self, fields: Mapping[bytes, bytes]) -> None:
        """Believe the journal and nothing else. Raises `msgspec.DecodeError` where it cannot be read."""
        self._forget_everything()
        values = from_journal(fields)
        self._followed = next((one for one in values if isinstance(one, AccountLine)), None)
        self._lines = {one.con_id: one for one in values if isinstance(one, PositionLine)}
        seen = [one for one in values if isinstance(one, SeenExecution)]
        self._seen = SeenExecutions(seen, kept_max=self._seen_max)
        for one in self._seen.newest():
            if one.counted:
                self._moves.add(one.con_id, one.executed_at, one.quantity)

    def quantity(self, con_id: int) -> Decimal:
        """What the fills add up to; negative for a short position, 0 for what was never held."""
        line = self._lines.get(con_id)
        return ZERO if line is None else line.quantity

    @property
    def mismatches(self) -> int:
        """Instruments whose fills do not add up to what IBKR says."""
        return sum(1 for line in self._lines.values() if line.told)

    def disagreements(self, now: datetime) -> tuple[PositionMismatch, ...]:
        """Every mismatch, to be told again after `load`: it may have been journalled and not told."""
        return tuple(line.mismatch(self.account, now) for line in self._lines.values() if line.told)

    def blocks(self, con_id: int, side: Side, quantity: Decimal) -> str | None:
        """Why an order must not go out; None where it may.

        While an instrument disagrees, only what reduces the position that IBKR says is held may. `quantity` includes what
        already works on that side. A combo is asked about leg by leg.
        """
        line = self._lines.get(con_id)
        if not self._blocking or line is None or not line.told or line.only_reduces(side, quantity):
            return None
        return (
            f"the fills of {line.symbol} add up to {line.quantity}, but IBKR says that {line.by_ibkr} are held; until they "
            "agree, or an operator accepts IBKR's positions, only orders that reduce what is held pass"
        )

    def review_at(self) -> datetime | None:
        """When to `review`; None while no listing waits for it."""
        return min(listed.come_at for listed in self._doubts.values()) + GRACE if self._doubts else None

    def apply(self, executed: Executed, now: datetime) -> PositionChange:
        """Count an execution, ours or anybody's; nothing changes where it is known, or moves no position.

        A correction replaces what it corrects, in whatever order the two come.
        """
        if executed.security_type == "BAG" or not executed.con_id or executed.account not in ("", self.account):
            return NOTHING
        before = self._seen.get(seen_field(executed.con_id, executed.exec_id))
        if before is not None and self._seen.knows(before, executed.exec_id):
            self._note_older_form(before, executed, now)
            return NOTHING
        seen = as_seen(executed, before, now, self._is_new)
        self._seen.put_all([seen])
        changed: list[Journalled] = [seen]
        events: tuple[PositionMismatch, ...] = ()
        if self._followed is not None:
            line = self._line(seen.con_id, seen.symbol, seen.security_type, self._followed)
            moved = seen.quantity - (before.quantity if before else ZERO) if before or seen.counted else ZERO
            self._moves.add(seen.con_id, now if before else seen.executed_at, moved)
            after = after_execution(line, moved, seen.executed_at, now if before else seen.executed_at)
            events = self._put(line, after, now)
            changed.append(after)
        removed = self._forget_old(changed)
        return PositionChange(events=events, fields=journalled(*changed), removed=removed)

    def judge(
        self, listed: PositionsListed, *, asked_at: datetime, now: datetime, at_once: bool = False
    ) -> PositionChange:
        """Compare with a listing that was asked for then and has come now; the account's first one is taken over.

        What it says and the executions cannot explain yet is looked at again by `review`. With `at_once` it counts already
        where nothing has moved lately: for the moment before the gate opens, when all executions were just listed. A listing
        that was asked for before one already judged says nothing.
        """
        if listed.account != self.account or (self._judged is not None and asked_at < self._judged):
            return NOTHING
        self._judged = asked_at
        if self._followed is None:
            return self._take_over(listed, asked_at)
        changes = [self.review(now)]
        held = {one.con_id: one.quantity for one in listed.positions}
        lines = {
            one.con_id: self._line(one.con_id, one.symbol, one.security_type, self._followed)
            for one in listed.positions
            if one.quantity
        } | self._lines
        for con_id, line in lines.items():
            said = Listed(quantity=held.get(con_id, ZERO), asked_at=asked_at, come_at=now)
            if line.is_compared:
                changes.append(self._hear(line, said, at_once=at_once))
        self._moves.prune(now)
        return together(changes)

    def review(self, now: datetime) -> PositionChange:
        """Judge the listings that came `GRACE` ago by all executions heard of since."""
        due = [(con_id, said) for con_id, said in self._doubts.items() if now - said.come_at >= GRACE]
        for con_id, _ in due:
            del self._doubts[con_id]
        return together(self._find(self._lines[con_id], said, now) for con_id, said in due)

    def accept(self, con_id: int, at: datetime, now: datetime) -> PositionChange:
        """Take IBKR's word on an instrument that disagreed already then; on every one with a `con_id` of 0.

        `at` is when the operator said so: what is heard again after a restart says nothing about later disagreements.
        """
        return together(
            self._take_word(line, line.listed_at, now)
            for line in list(self._lines.values())
            if con_id in (0, line.con_id) and line.listed_at and line.told_at and line.told_at <= at
        )

    def reset(self, listed: PositionsListed, *, asked_at: datetime, now: datetime) -> PositionChange:
        """Forget everything and take a listing over: for an executor that itself forgets, as a simulated one does."""
        ended = [line.agreeing() for line in self._lines.values() if line.told]
        self._forget_everything()
        self._judged = asked_at
        taken = self._take_over(listed, asked_at)
        told = tuple(line.mismatch(self.account, now) for line in ended)
        return msgspec.structs.replace(taken, events=told, clear=True)

    def _note_older_form(self, known: SeenExecution, executed: Executed, now: datetime) -> None:
        """What was corrected can be heard of after its correction; a listing may be of the moment between the two."""
        older = signed(executed)
        if known.counted and older != known.quantity:
            self._moves.add_older_form(known.con_id, known.executed_at, now, older, known.quantity)

    def _is_new(self, con_id: int, executed_at: datetime) -> bool:
        """Whether an execution not seen before came after all that the quantity holds."""
        if self._followed is None:
            return False
        forgotten = self._followed.forgotten_until
        line = self._lines.get(con_id)
        since = self._followed.since if line is None else line.since
        return executed_at > since and (forgotten is None or executed_at > forgotten)

    def _line(self, con_id: int, symbol: str, security_type: str, followed: AccountLine) -> PositionLine:
        """The line of an instrument; one without a position where the account's first listing did not show it."""
        new = PositionLine(con_id=con_id, symbol=symbol, security_type=security_type, since=followed.since)
        return self._lines.get(con_id, new)

    def _put(self, before: PositionLine, line: PositionLine, now: datetime) -> tuple[PositionMismatch, ...]:
        """Believe a line; returns what is to be told of it."""
        self._lines[line.con_id] = line
        return (line.mismatch(self.account, now),) if line.told != before.told else ()

    def _forget_old(self, changed: list[Journalled]) -> tuple[str, ...]:
        gone = self._seen.forget_old()
        if gone and self._followed is not None:
            until = max(one.executed_at for one in gone)
            known = self._followed.forgotten_until
            self._followed = msgspec.structs.replace(self._followed, forgotten_until=max(until, known or until))
            changed.append(self._followed)
        return tuple(one.field for one in gone)

    def _hear(self, line: PositionLine, said: Listed, *, at_once: bool) -> PositionChange:
        """What a listing says of one instrument: right now, wrong now, or to be looked at again."""
        if self._moves.explains(line.con_id, line.quantity, said):
            self._doubts.pop(line.con_id, None)
            if self._is_uncertain(line):  # what is heard yet may show that it agreed by chance: `review` settles it
                self._doubts[line.con_id] = said
                self._lines[line.con_id] = line
            return self._agree(line, said, said.come_at)
        if at_once and line.rested(said.asked_at):
            return self._disagree(line, said, said.come_at)
        self._lines[line.con_id] = line
        self._doubts.setdefault(line.con_id, said)
        return NOTHING

    def _find(self, line: PositionLine, said: Listed, now: datetime) -> PositionChange:
        """What a listing said of one instrument, now that everything is heard that could explain it."""
        if self._moves.explains(line.con_id, line.quantity, said):
            settles = line.rested(said.asked_at) and not self._moves.any_around(line.con_id, said)
            return self._agree(line, said, now, settles=settles)
        return self._disagree(line, said, now)

    def _is_uncertain(self, line: PositionLine) -> bool:
        """Whether executions lie so close to the baseline that it may hold them or not."""
        return not line.settled and bool(self._seen.around(line.con_id, line.since))

    def _agree(self, before: PositionLine, said: Listed, now: datetime, *, settles: bool = False) -> PositionChange:
        line = before.agreeing()
        if not line.settled and (settles or not self._is_uncertain(line)):
            line = line.settling(said.asked_at)
        if line.is_over(now - KEPT_FOR):
            self._lines.pop(line.con_id, None)
            return PositionChange(removed=(str(line.con_id),))
        if line == before:
            return NOTHING
        return PositionChange(events=self._put(before, line, now), fields=journalled(line))

    def _disagree(self, before: PositionLine, said: Listed, now: datetime) -> PositionChange:
        difference = said.quantity - self._moves.then(before.con_id, before.quantity, said)
        close = [] if before.settled else self._seen.around(before.con_id, before.since)
        if close and not before.rested(said.asked_at):  # what the baseline held cannot be told amid the trading
            return NOTHING
        by_ibkr = before.quantity + difference
        anew = told_apart(close, before.quantity, by_ibkr) if close else None
        if anew is not None:
            self._seen.put_all(anew)
            line = msgspec.structs.replace(before.agreeing(), quantity=by_ibkr)
            return PositionChange(events=self._put(before, line, now), fields=journalled(line, *anew))
        if difference == before.difference == before.told:
            return NOTHING
        line = before.disagreeing(difference, said.come_at, now)
        return PositionChange(events=self._put(before, line, now), fields=journalled(line))

    def _take_over(self, listed: PositionsListed, asked_at: datetime) -> PositionChange:
        """The first listing: what it shows is held; what was executed after it was asked for comes on top."""
        self._followed = AccountLine(since=asked_at)
        lines = {one.con_id: taken_over(one, asked_at) for one in listed.positions}
        changed: list[Journalled] = [self._followed]
        for con_id, heard in self._seen.by_instrument().items():
            line = lines.get(con_id) or self._line(con_id, heard[0].symbol, heard[0].security_type, self._followed)
            seen = as_held(heard, asked_at)
            lines[con_id] = with_later(line, seen)
            self._seen.put_all(seen)
            changed += seen
            for one in seen:
                if one.counted:
                    self._moves.add(con_id, one.executed_at, one.quantity)
        self._lines = lines
        return PositionChange(fields=journalled(*changed, *lines.values()))

    def _take_word(self, before: PositionLine, listed_at: datetime, now: datetime) -> PositionChange:
        """IBKR's quantity as of the listing that showed the difference, with what was executed since on top of it."""
        self._doubts.pop(before.con_id, None)
        agreed = before.agreeing()
        line = msgspec.structs.replace(agreed, quantity=before.by_ibkr, since=listed_at, settled=False)
        again = as_held(self._seen.around(line.con_id, listed_at), listed_at)
        self._seen.put_all(again)
        return PositionChange(events=self._put(before, line, now), fields=journalled(line, *again))
