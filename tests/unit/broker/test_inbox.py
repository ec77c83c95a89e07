"""What happened and is not yet written."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from support import log_of, run
from unit.broker.stories import NOW, charged, executed, seen, status

from ibstream_broker import inbox as inbox_module
from ibstream_broker.domain.inputs import OrderInput
from ibstream_broker.inbox import Inbox, SessionEnded


def test_inputs_come_out_in_the_order_in_which_they_happened() -> None:
    """And `wait` returns as long as there is one."""

    async def scenario() -> None:
        inbox = Inbox()
        put: list[OrderInput | SessionEnded] = [seen(), status("Submitted"), SessionEnded(NOW), executed(1, 40)]
        for one in put:
            inbox.put(one)
        await inbox.wait()
        assert len(inbox) == 4
        assert [inbox.take() for _ in put] == put
        assert inbox.take() is None
        waiting = asyncio.create_task(inbox.wait())
        _, pending = await asyncio.wait({waiting}, timeout=0.01)
        assert pending, "it waits for nothing"
        inbox.put(seen())
        await waiting

    run(scenario())


def test_the_inbox_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go, and it is known: lists asked for anew recover all of them."""
    monkeypatch.setattr(inbox_module, "INPUTS_MAX", 3)
    inbox = Inbox()
    overflowed = [inbox.overflowed]
    for number in range(5):
        inbox.put(status("Submitted", number))
    taken = [inbox.take() for _ in range(3)]
    assert [one.filled for one in taken] == [2, 3, 4]  # type: ignore[union-attr]
    assert inbox.take() is None
    overflowed.append(inbox.overflowed)
    inbox.clear()
    assert [*overflowed, inbox.overflowed] == [False, True, False]


def test_the_end_of_a_session_is_never_dropped_for_other_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No list tells of it later: what was sent and not acknowledged becomes unclear by it. Of many ends the newest stay."""
    monkeypatch.setattr(inbox_module, "INPUTS_MAX", 3)

    async def scenario() -> None:
        inbox = Inbox()
        inbox.put(SessionEnded(NOW))
        for number in range(4):
            inbox.put(status("Submitted", number))
        ended, *others = inbox.take_some(4)
        assert ended == SessionEnded(NOW)
        assert [one.filled for one in others] == [2, 3]  # type: ignore[union-attr]
        inbox.written(3)
        ends = [SessionEnded(NOW + timedelta(seconds=number)) for number in range(4)]
        for end in ends:
            inbox.put(end)
        inbox.put(status("Submitted", 9))
        assert inbox.take_some(4) == [*ends[2:], status("Submitted", 9)]
        inbox.written(3)
        await asyncio.wait_for(inbox.settled(), 1)  # what was dropped need not be waited for

    run(scenario())


def test_a_commission_waits_for_its_execution_and_is_given_out_once() -> None:
    """On a real Gateway it may come first."""
    inbox = Inbox()
    fill = executed(1, 40)
    inbox.keep_early_commission(charged(fill))
    inbox.keep_early_commission(seen())
    assert inbox.early_commission(fill.exec_id) == charged(fill)
    assert inbox.early_commission(fill.exec_id) is None


def test_early_commissions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other clients' commissions come by, too, and their executions never will."""
    monkeypatch.setattr(inbox_module, "EARLY_COMMISSIONS_MAX", 2)
    inbox = Inbox()
    commissions = [msgspec.structs.replace(charged(executed(n, 1)), commission=Decimal(n)) for n in range(4)]
    for one in commissions:
        inbox.keep_early_commission(one)
    kept = [one for one in commissions if inbox.early_commission(one.exec_id)]
    assert kept == commissions[2:]


def test_clear_forgets_everything() -> None:
    """A broker that becomes active believes the journal and a snapshot."""
    inbox = Inbox()
    inbox.put(seen())
    inbox.keep_early_commission(charged(executed(1, 40)))
    inbox.clear()
    assert (len(inbox), inbox.take(), inbox.early_commission(executed(1, 40).exec_id)) == (0, None, None)


def test_some_are_taken_at_once_and_no_more_than_asked_for() -> None:
    """The oldest, in their order; nothing where nothing is, and then `wait` waits again."""

    async def scenario() -> None:
        inbox = Inbox()
        for number in range(5):
            inbox.put(status("Submitted", number))
        taken = [inbox.take_some(2), inbox.take_some(2), inbox.take_some(2), inbox.take_some(2)]
        assert [[one.filled for one in some] for some in taken] == [[0, 1], [2, 3], [4], []]  # type: ignore[union-attr]
        waiting = asyncio.create_task(inbox.wait())
        _, pending = await asyncio.wait({waiting}, timeout=0.01)
        assert pending, "it waits for nothing"
        inbox.put(seen())
        await waiting

    run(scenario())


def test_what_is_dropped_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that goes for want of room is an error in the log, by its kind."""
    monkeypatch.setattr(inbox_module, "INPUTS_MAX", 1)
    logged = log_of(inbox_module, monkeypatch)
    inbox = Inbox()
    inbox.put(seen())
    inbox.put(status("Submitted", 1))
    assert [(one["event"], one["log_level"], one["dropped"]) for one in logged] == [
        ("broker.inbox_full", "error", "OrderSeen")
    ]
