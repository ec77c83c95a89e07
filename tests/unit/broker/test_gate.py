"""What may go out now: by the session, a halt, the Gateway's mode and restart, and the journal."""

from __future__ import annotations

from datetime import time, timedelta
from zoneinfo import ZoneInfo

import pytest
from unit.broker.stories import NOW

from ibstream.contracts.orders import Reason
from ibstream.contracts.system import ConnectionState, Halt
from ibstream_broker.domain.gate import Standing, gate
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.restart_window import RestartWindow

HALT = Halt(who="ops", why="drill", at=NOW)
IN_A_MOMENT = RestartWindow((NOW + timedelta(seconds=30)).time(), ZoneInfo("UTC"))
LONG = "x" * 10_000


def ready(**details: object) -> Standing:
    """A standing in which everything may go out, but for these details."""
    standing = Standing(state=ConnectionState.READY, session_since=NOW - timedelta(hours=1))
    for name, value in details.items():
        assert hasattr(standing, name)
        setattr(standing, name, value)
    return standing


def reasons(standing: Standing) -> dict[str, Reason | None]:
    """Why each kind of request is refused."""
    refusals = {
        "order": standing.refuses_orders(NOW),
        "modify": standing.refuses_modifies(NOW),
        "what_if": standing.refuses_what_ifs(),
        "cancel": standing.refuses_cancels(),
    }
    assert all(refusal is None or 0 < len(refusal.text) < 1000 for refusal in refusals.values())
    return {kind: None if refusal is None else refusal.reason for kind, refusal in refusals.items()}


@pytest.mark.parametrize("state", list(ConnectionState))
def test_only_a_ready_session_lets_anything_pass(state: ConnectionState) -> None:
    """Every other state has its reason, cancels included: order ids mean nothing before they are reconciled."""
    expected = {
        ConnectionState.READY: None,
        ConnectionState.DEGRADED: Reason.LINK_LOST,
        ConnectionState.SYNCHRONISING: Reason.RECONCILING,
    }.get(state, Reason.GATEWAY_DISCONNECTED)
    assert set(reasons(ready(state=state, why="because")).values()) == {expected}
    refusal = gate(state, "because")
    assert refusal is None or refusal.text.endswith(": because")


def test_nothing_goes_out_before_anything_is_known() -> None:
    """A standing begins closed."""
    assert set(reasons(Standing()).values()) == {Reason.GATEWAY_DISCONNECTED}


@pytest.mark.parametrize(
    ("details", "refused", "reason"),
    [
        ({}, set(), None),
        ({"halt": HALT}, {"order", "modify"}, Reason.HALTED),
        ({"read_only": "The API interface is in Read-Only mode"}, {"order", "modify", "what_if"}, Reason.READ_ONLY_API),
        ({"not_durable": "Redis has no append-only file"}, {"order"}, Reason.JOURNAL_NOT_DURABLE),
        ({"window": IN_A_MOMENT}, {"order", "modify"}, Reason.RESTART_WINDOW),
        ({"window": RestartWindow(time(3), ZoneInfo("UTC"))}, set(), None),
    ],
)  # fmt: skip
def test_what_holds_back_what(details: dict[str, object], refused: set[str], reason: Reason | None) -> None:
    """Cancels pass a halt, a restart and every mode."""
    found = reasons(ready(**details))
    assert {kind for kind, why in found.items() if why is not None} == refused
    assert set(found.values()) <= {reason, None}


def test_a_halt_refuses_before_anything_else() -> None:
    """With who and why, even without a session: it is what a person will look for."""
    assert gate(ConnectionState.READY, "", HALT) == Refusal(Reason.HALTED, "halted by ops: drill")
    assert reasons(ready(halt=HALT, state=ConnectionState.IDLE))["order"] is Reason.HALTED
    assert reasons(ready(halt=HALT, state=ConnectionState.IDLE))["cancel"] is Reason.GATEWAY_DISCONNECTED


@pytest.mark.parametrize("name", ["why", "read_only", "not_durable"])
def test_what_others_said_is_cut(name: str) -> None:
    """A text of any length leaves room for what to do."""
    standing = ready(**{name: LONG})
    if name == "why":
        standing.state = ConnectionState.DEGRADED
    assert reasons(standing)["order"] is not None


def test_the_texts_say_what_to_do() -> None:
    """Where to turn off the read-only mode, which setting trades without a durable journal, when to ask again."""
    texts = {
        "READ_ONLY_API=no": ready(read_only="read only"),
        "SA_BROKER__JOURNAL_DURABILITY": ready(not_durable="no"),
        "15:00 UTC": ready(window=IN_A_MOMENT),
    }
    for expected, standing in texts.items():
        refusal = standing.refuses_orders(NOW)
        assert refusal is not None
        assert expected in refusal.text
