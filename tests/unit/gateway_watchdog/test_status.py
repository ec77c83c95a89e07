"""The facts of the watchdog and what it says of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from prometheus_client import REGISTRY

from ibstream.contracts.registry import SERVICES
from ibstream.contracts.system import ConnectionState, Disconnected, Halt, Heartbeat, Mode, ModeChanged
from ibstream.runtime.clock import ManualClock
from ibstream_gateway_watchdog.domain.gateway import GatewayView
from ibstream_gateway_watchdog.domain.picture import ConnectionNews
from ibstream_gateway_watchdog.status import Options, Status

START = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


class World:
    """A status with all it said."""

    def __init__(self, *, has_gateway: bool = True, has_resets: bool = False, start: datetime = START) -> None:
        self.clock = ManualClock(start)
        self.changes: list[ModeChanged] = []
        self.news: list[ConnectionNews] = []
        options = Options(
            has_gateway=has_gateway, has_resets=has_resets, bus_parts=frozenset({"streams", "heartbeats"})
        )
        self.status = Status(options, clock=self.clock, on_mode=self.changes.append, on_news=self.news.append)

    def beats(self, **states: ConnectionState) -> None:
        """Heartbeats of the services named."""
        self.status.heartbeats([self._beat(service, state) for service, state in states.items()])

    def all_ready(self) -> None:
        """Heartbeats of a healthy system."""
        self.beats(**dict.fromkeys(SERVICES, ConnectionState.READY))

    def begin(self) -> None:
        """Everything looked at once, everything well."""
        self.status.bus_works("streams")
        self.all_ready()
        self.status.bus_works("heartbeats")
        self.probe(up=True)

    def probe(self, *, up: bool) -> None:
        """The Gateway was looked at."""
        self.status.probed(
            GatewayView(up=up, checked_at=self.clock.now(), latency_s=0.01, text="" if up else "connection refused")
        )

    def _beat(self, service: str, state: ConnectionState) -> Heartbeat:
        return Heartbeat(
            service=service,
            instance="0",
            state=state,
            provider="ibkr",
            version="0",
            pid=1,
            started_at=START,
            at=self.clock.now(),
        )


def metric(name: str, **labels: str) -> float | None:
    """The value of a metric of this process."""
    return REGISTRY.get_sample_value(name, labels)


def test_nothing_is_said_before_everything_was_looked_at() -> None:
    """Until then the status calls itself starting: half a picture would be a false alarm."""
    world = World()
    world.status.bus_works("streams")
    world.status.bus_works("heartbeats")
    known_too_early = world.status.is_known
    assert not known_too_early
    assert [r.code for r in world.status.message().reasons] == ["starting"]
    assert world.changes == []
    world.probe(up=True)
    assert world.status.is_known
    assert [change.mode for change in world.changes] == [Mode.DOWN]


def test_a_missing_redis_is_known_without_waiting_for_it() -> None:
    """A first picture exists although Redis has never answered."""
    world = World()
    world.status.bus_failed("streams", "connection refused")
    world.probe(up=True)
    assert [(c.mode, [r.source for r in c.reasons]) for c in world.changes] == [(Mode.DOWN, ["bus"])]


def test_a_change_is_said_once_and_dated() -> None:
    """`since` is when the mode began, `at` when it was said; repeating a fact is no change."""
    world = World()
    world.begin()
    world.clock.advance(10)
    world.probe(up=False)
    world.clock.advance(5)
    world.probe(up=False)
    assert [change.mode for change in world.changes] == [Mode.NORMAL, Mode.DEGRADED]
    message = world.status.message()
    assert (message.at - message.since).total_seconds() == 5
    assert message.gateway_up is False


def test_a_further_reason_is_a_change_of_the_same_mode() -> None:
    """Degraded by one thing and then by two is said twice, and began with the first."""
    world = World()
    world.begin()
    world.probe(up=False)
    world.clock.advance(1)
    world.status.edge(Disconnected(service="broker", instance="0", reason="closed", at=world.clock.now()))
    assert [len(change.reasons) for change in world.changes] == [0, 1, 2]
    assert world.changes[1].since == world.changes[2].since
    assert [item.words for item in world.news][-1] == "disconnected"


def test_a_halt_and_its_end() -> None:
    """Halted while it holds, and back to what the rest says."""
    world = World()
    world.begin()
    world.status.halted(Halt(who="ops", why="test", at=START))
    world.status.halted(None)
    assert [change.mode for change in world.changes] == [Mode.NORMAL, Mode.HALTED, Mode.NORMAL]


def test_one_failing_part_is_enough_to_call_the_bus_away() -> None:
    """Redis may answer reads and refuse writes; it is well only when every part is served."""
    world = World()
    world.begin()
    world.status.bus_failed("status", "out of memory")
    world.status.bus_works("heartbeats")
    up_although_it_refuses = world.status.bus_up
    assert not up_although_it_refuses
    assert world.status.message().mode is Mode.DOWN
    assert world.status.message().services == []
    world.status.bus_works("status")
    assert world.status.bus_up
    assert world.status.message().mode is Mode.NORMAL
    assert len(world.status.message().services) == len(SERVICES)


def test_a_reset_window_turns_a_loss_into_maintenance_while_it_is_open() -> None:
    """23:30 in New York passes by, with the link away: degraded, maintenance, and degraded again after 02:00."""
    world = World(has_resets=True, start=datetime(2026, 11, 24, 4, 29, tzinfo=UTC))
    world.begin()
    lost = dict.fromkeys(SERVICES, ConnectionState.DEGRADED)
    for seconds in (1, 120, 2.5 * 3600):
        world.clock.advance(seconds)
        world.beats(**lost)
        world.status.refresh()
    assert [c.mode for c in world.changes] == [Mode.NORMAL, Mode.DEGRADED, Mode.MAINTENANCE, Mode.DEGRADED]


def test_the_metrics_say_the_same() -> None:
    """One mode is 1 and the others 0; without a Gateway its gauge is no number, so that no alert fires."""
    world = World()
    world.begin()
    assert metric("ibstream_mode", mode="normal") == 1
    assert metric("ibstream_mode", mode="down") == 0
    assert metric("ibstream_gateway_handshake_up") == 1
    World(has_gateway=False)
    assert math.isnan(metric("ibstream_gateway_handshake_up") or 0.0)
