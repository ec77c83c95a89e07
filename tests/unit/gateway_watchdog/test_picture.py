"""Merging heartbeats and edges into one picture, and the news that follow from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.registry import HEARTBEAT_TTL_S
from ibstream.contracts.system import ConnectionState, Disconnected, Heartbeat, Reconnected
from ibstream_gateway_watchdog.domain.picture import ConnectionNews, Picture, after_edge, after_scan, news

START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
BROKER = ("broker", "0")


def at(second: float) -> datetime:
    """A time of the services' clock."""
    return START + timedelta(seconds=second)


def beat(state: ConnectionState, second: float, reason: str = "") -> Heartbeat:
    """A heartbeat of the broker."""
    return Heartbeat(
        service="broker",
        instance="0",
        state=state,
        reason=reason,
        provider="ibkr",
        client_id=1,
        version="0",
        pid=1,
        started_at=START,
        at=at(second),
    )


def lost(second: float, reason: str = "closed") -> Disconnected:
    """The broker lost its connection."""
    return Disconnected(service="broker", instance="0", reason=reason, at=at(second))


def back(second: float) -> Reconnected:
    """The broker is ready."""
    return Reconnected(service="broker", instance="0", first=False, at=at(second))


def state_of(picture: Picture) -> ConnectionState:
    """The broker's state in the picture."""
    return picture[BROKER].report.state


READY_PICTURE = after_scan({}, [beat(ConnectionState.READY, 0)], now_s=0)


def test_an_edge_applies_at_once() -> None:
    """A lost connection shows without waiting for the next heartbeat, with its reason, and the client id stays known."""
    report = after_edge(READY_PICTURE, lost(1), now_s=1)[BROKER].report
    assert (report.state, report.reason, report.client_id) == (ConnectionState.BACKING_OFF, "closed", 1)


def test_an_older_heartbeat_does_not_undo_a_newer_edge() -> None:
    """The heartbeat was written before the loss and read after it."""
    picture = after_edge(READY_PICTURE, lost(1.0), now_s=1.0)
    assert state_of(after_scan(picture, [beat(ConnectionState.READY, 0.9)], now_s=1.1)) is ConnectionState.BACKING_OFF


def test_a_newer_heartbeat_replaces_an_edge() -> None:
    """After the edge the heartbeat has the last word."""
    picture = after_edge(READY_PICTURE, lost(1.0), now_s=1.0)
    assert state_of(after_scan(picture, [beat(ConnectionState.READY, 1.5)], now_s=1.6)) is ConnectionState.READY


def test_an_older_edge_does_not_undo_a_newer_heartbeat() -> None:
    """An edge that Redis delivered late is history."""
    assert after_edge(after_scan({}, [beat(ConnectionState.READY, 5)], now_s=5), lost(4), now_s=5.1)[BROKER].at == at(5)


def test_an_edge_outranks_for_no_longer_than_a_heartbeat_lives() -> None:
    """A clock set back must not freeze the picture: what is read after the time to live was written after the edge."""
    picture = after_edge(READY_PICTURE, lost(100), now_s=1.0)
    later = 1.0 + HEARTBEAT_TTL_S
    assert (
        state_of(after_scan(picture, [beat(ConnectionState.READY, 3)], now_s=later - 0.1)) is not ConnectionState.READY
    )
    assert state_of(after_scan(picture, [beat(ConnectionState.READY, 3)], now_s=later)) is ConnectionState.READY


def test_an_instance_without_heartbeat_is_gone() -> None:
    """A key that vanished means a process that vanished."""
    assert after_scan(READY_PICTURE, [], now_s=4) == {}


def test_an_edge_without_heartbeat_yet_holds_for_a_while() -> None:
    """A service says its first edge a moment before its first heartbeat, or its last one after it."""
    picture = after_edge({}, lost(1), now_s=1)
    assert BROKER in after_scan(picture, [], now_s=1.5)
    assert BROKER not in after_scan(picture, [], now_s=1 + HEARTBEAT_TTL_S)


def test_the_reason_of_a_loss_stays_while_the_service_tries_again() -> None:
    """A service that is connecting has no reason of its own to give; the one it had still holds, until it is ready."""
    picture = after_edge(READY_PICTURE, lost(1, "connection refused"), now_s=1)
    picture = after_scan(picture, [beat(ConnectionState.CONNECTING, 2)], now_s=2)
    assert picture[BROKER].report.reason == "connection refused"
    picture = after_scan(picture, [beat(ConnectionState.READY, 3)], now_s=3)
    assert picture[BROKER].report.reason == ""


events = st.lists(
    st.tuples(st.sampled_from(["edge", "beat", "nothing"]), st.booleans(), st.floats(0.01, 2)), max_size=30
)


@given(events)
def test_heard_in_order_the_picture_is_what_was_heard_last(steps: list[tuple[str, bool, float]]) -> None:
    """With one honest clock and nothing delayed, the latest word counts, and news tell of every flip exactly once."""
    picture: Picture = {}
    told: dict[tuple[str, str], bool] = {}
    now, said = 0.0, None
    for kind, connected, wait_s in steps:
        now += wait_s
        state = ConnectionState.READY if connected else ConnectionState.BACKING_OFF
        if kind == "edge":
            picture = after_edge(picture, back(now) if connected else lost(now), now_s=now)
        else:
            picture = after_scan(picture, [beat(state, now)] if kind == "beat" else [], now_s=now)
        if kind != "nothing":
            assert state_of(picture) is state
        told, found = news(told, picture)
        for item in found:
            assert item.connected is not said or not item.connected
            said = item.connected
        assert told == {key: s.report.state is ConnectionState.READY for key, s in picture.items()}


def test_news_of_a_loss_and_a_return() -> None:
    """Each flip is told once; what is on the way is not told."""
    told, found = news({}, READY_PICTURE)
    assert found == [ConnectionNews("broker", "0", connected=True, reason="", words="connected")]
    picture = after_edge(READY_PICTURE, lost(1), now_s=1)
    told, found = news(told, picture)
    assert found == [ConnectionNews("broker", "0", connected=False, reason="closed", words="disconnected")]
    picture = after_scan(picture, [beat(ConnectionState.SYNCHRONISING, 2)], now_s=2)
    told, found = news(told, picture)
    assert found == []
    told, found = news(told, after_edge(picture, back(3), now_s=3))
    assert [item.words for item in found] == ["connected"]


def test_a_connected_instance_that_vanishes_is_told_as_absent() -> None:
    """Whoever listens must not believe in a connection whose process is gone."""
    told, _ = news({}, READY_PICTURE)
    told, found = news(told, {})
    assert [(item.connected, item.words) for item in found] == [(False, "absent")]
    assert told == {}
