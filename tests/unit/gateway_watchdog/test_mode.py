"""The mode table of the watchdog, over everything that it can be given."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream.contracts.registry import SERVICES
from ibstream.contracts.system import ConnectionState, Halt, Mode, ServiceReport
from ibstream_gateway_watchdog.domain.gateway import GatewayView
from ibstream_gateway_watchdog.domain.mode import Inputs, decide
from ibstream_gateway_watchdog.domain.windows import OpenWindow

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
HALT = Halt(who="ops", why="fat finger", at=NOW)
UP = GatewayView(up=True, checked_at=NOW, latency_s=0.01, server_version=178)
REFUSED = GatewayView(up=False, checked_at=NOW, latency_s=0.01, code="refused", text="connection refused")
WINDOW = OpenWindow("nightly reset", "02:00 EST")
READY = ConnectionState.READY


def report(
    service: str, state: ConnectionState = ConnectionState.READY, reason: str = "", instance: str = "0"
) -> ServiceReport:
    """One instance as the watchdog sees it."""
    return ServiceReport(service=service, instance=instance, state=state, reason=reason)


def all_ready() -> list[ServiceReport]:
    """What a healthy system looks like."""
    return [report(service) for service in SERVICES]


def with_broker(*reports: ServiceReport) -> list[ServiceReport]:
    """A system in which all but the broker is healthy."""
    return [*reports, report("data"), report("feed")]


def test_all_well_is_normal_and_needs_no_reason() -> None:
    """Every service ready, the Gateway shaking hands, no halt: normal, with an empty list of reasons."""
    assert decide(Inputs(services=all_ready(), gateway=UP)) == (Mode.NORMAL, [])


def test_a_simulated_system_needs_no_gateway() -> None:
    """With a provider that has no Gateway, nothing is said about one."""
    assert decide(Inputs(services=all_ready(), gateway=None)) == (Mode.NORMAL, [])


@pytest.mark.parametrize(
    ("state", "reason", "code", "text"),
    [
        (
            ConnectionState.BACKING_OFF,
            "connection refused",
            "disconnected",
            "broker: disconnected (connection refused)",
        ),
        (ConnectionState.CONNECTING, "", "disconnected", "broker: disconnected"),
        (ConnectionState.SYNCHRONISING, "", "synchronising", "broker: synchronising"),
        (ConnectionState.DEGRADED, "1100", "link_lost", "broker: link to IBKR lost (1100)"),
        (ConnectionState.IDLE, "standby", "idle", "broker: idle (standby)"),
        (ConnectionState.STOPPED, "", "stopped", "broker: stopped"),
    ],
)
def test_a_service_that_is_not_ready_degrades_and_says_why(
    state: ConnectionState, reason: str, code: str, text: str
) -> None:
    """Each state but ready has a code for machines and a sentence for people."""
    mode, reasons = decide(Inputs(services=with_broker(report("broker", state, reason)), gateway=UP))
    assert mode is Mode.DEGRADED
    assert [(r.source, r.code, r.text) for r in reasons] == [("broker", code, text)]


def test_a_service_without_heartbeat_is_absent() -> None:
    """No sign of life from one service degrades the system; the others are alive."""
    mode, reasons = decide(Inputs(services=with_broker(), gateway=UP))
    assert mode is Mode.DEGRADED
    assert [(r.code, r.text) for r in reasons] == [("absent", "broker: absent")]


def test_a_standby_beside_a_ready_broker_is_fine() -> None:
    """A hot standby waits, idle, and is no trouble."""
    standby = report("broker", ConnectionState.IDLE, "standby", instance="standby-7")
    assert decide(Inputs(services=with_broker(standby, report("broker")), gateway=UP)) == (Mode.NORMAL, [])


def test_a_lost_link_of_one_replica_counts_although_another_is_ready() -> None:
    """What the replica without a link serves stands still."""
    lost = report("broker", ConnectionState.DEGRADED, instance="1")
    mode, reasons = decide(Inputs(services=with_broker(report("broker"), lost), gateway=UP))
    assert (mode, [r.code for r in reasons]) == (Mode.DEGRADED, ["link_lost"])


def feeds(*reports: ServiceReport) -> tuple[Mode, list[str]]:
    """The mode of a system that is healthy but for its feeds, and the reasons' sentences."""
    mode, reasons = decide(Inputs(services=[report("broker"), report("data"), *reports], gateway=UP))
    return mode, [reason.text for reason in reasons]


def test_a_feed_that_is_not_ready_counts_although_another_is() -> None:
    """Feeds share the symbols: those of one that has lost its Gateway are stale, however well another does."""
    away = report("feed", ConnectionState.BACKING_OFF, "connection refused", instance="1")
    assert feeds(report("feed"), away) == (Mode.DEGRADED, ["feed: disconnected (connection refused)"])


def test_a_feed_without_a_share_is_fine_beside_a_ready_one() -> None:
    """A standby has no symbols yet, and one that has stopped has given its own back."""
    standby = report("feed", ConnectionState.IDLE, "standby", instance="standby-7")
    stopped = report("feed", ConnectionState.STOPPED, instance="1")
    assert feeds(report("feed"), standby, stopped) == (Mode.NORMAL, [])
    assert feeds(standby, stopped) == (Mode.DEGRADED, ["feed: idle (standby)"])


def test_of_several_replicas_the_one_nearest_to_ready_speaks() -> None:
    """A standby is not named where the active replica has lost its connection."""
    lost = report("broker", ConnectionState.BACKING_OFF, "closed")
    standby = report("broker", ConnectionState.IDLE, "standby", instance="standby-7")
    _, reasons = decide(Inputs(services=with_broker(standby, lost), gateway=UP))
    assert [r.text for r in reasons] == ["broker: disconnected (closed)"]


def test_a_gateway_without_handshake_degrades() -> None:
    """Services that still believe in their connection do not outweigh the probe."""
    mode, reasons = decide(Inputs(services=all_ready(), gateway=REFUSED))
    assert mode is Mode.DEGRADED
    assert [(r.source, r.code, r.text) for r in reasons] == [
        ("gateway", "handshake_failed", "gateway: no handshake (connection refused)")
    ]


def test_without_redis_the_system_is_down_and_nothing_is_said_of_services() -> None:
    """Services that cannot be heard are not called absent: the bus is the reason."""
    mode, reasons = decide(Inputs(services=[], gateway=UP, bus_problem="no answer"))
    assert mode is Mode.DOWN
    assert [(r.source, r.code) for r in reasons] == [("bus", "unavailable")]


def test_a_halt_outranks_all_and_hides_nothing() -> None:
    """A halted system is halted whatever else is wrong, and the reasons say what else is."""
    mode, reasons = decide(Inputs(services=[], gateway=REFUSED, halt=HALT))
    assert mode is Mode.HALTED
    assert reasons[0].text == "operator: trading halted by ops: fat finger"
    assert [r.source for r in reasons] == ["operator", "gateway", *SERVICES]


def test_a_lost_link_in_a_reset_window_is_maintenance() -> None:
    """The Gateway answers, IBKR does not, at night: wait until the window ends."""
    lost = [report(service, ConnectionState.DEGRADED) for service in SERVICES]
    mode, reasons = decide(Inputs(services=lost, gateway=UP, reset_window=WINDOW))
    assert mode is Mode.MAINTENANCE
    assert reasons[-1].text == "gateway: IBKR's nightly reset, until 02:00 EST"


def test_a_missing_gateway_in_a_reset_window_is_no_maintenance() -> None:
    """A reset ends no Gateway: one that stopped at midnight must not be waited for until the morning."""
    lost = [report(service, ConnectionState.BACKING_OFF) for service in SERVICES]
    mode, _ = decide(Inputs(services=lost, gateway=REFUSED, reset_window=WINDOW))
    assert mode is Mode.DEGRADED


def test_a_missing_process_in_a_reset_window_is_no_maintenance() -> None:
    """IBKR's reset does not end processes of ours, so it does not excuse a missing one."""
    mode, _ = decide(Inputs(services=with_broker(), gateway=REFUSED, reset_window=WINDOW))
    assert mode is Mode.DEGRADED


STATES: list[ConnectionState | None] = [None, *ConnectionState]


def test_the_table_over_everything_one_instance_each() -> None:
    """All states of all services with every other input: the mode follows the documented order of rows."""
    worlds = itertools.product(
        itertools.product(STATES, repeat=len(SERVICES)), (None, UP, REFUSED), (None, HALT), ("", "gone"), (None, WINDOW)
    )
    for states, gateway, halt, bus_problem, window in worlds:
        services = [report(s, state) for s, state in zip(SERVICES, states, strict=True) if state is not None]
        inputs = Inputs(services=services, gateway=gateway, halt=halt, bus_problem=bus_problem, reset_window=window)
        mode, reasons = decide(inputs)
        all_well = set(states) == {READY} and gateway is not REFUSED
        nobody = set(states) <= {None, ConnectionState.STOPPED}
        link_only = gateway is not REFUSED and set(states) <= {
            READY,
            ConnectionState.DEGRADED,
            ConnectionState.SYNCHRONISING,
        }
        if halt:
            expected = Mode.HALTED
        elif bus_problem or nobody:
            expected = Mode.DOWN
        elif all_well:
            expected = Mode.NORMAL
        else:
            expected = Mode.MAINTENANCE if window and link_only else Mode.DEGRADED
        assert mode is expected, inputs
        assert (reasons == []) == (mode is Mode.NORMAL), inputs


replicas = st.lists(
    st.builds(
        report,
        st.sampled_from(SERVICES),
        st.sampled_from(ConnectionState),
        st.sampled_from(["", "why"]),
        st.sampled_from(["0", "1", "standby-1"]),
    ),
    max_size=8,
)


@given(
    replicas.flatmap(lambda reports: st.tuples(st.just(reports), st.permutations(reports))),
    st.sampled_from([None, UP, REFUSED]),
)
def test_the_order_of_replicas_changes_nothing_but_the_words(
    orders: tuple[list[ServiceReport], list[ServiceReport]], gateway: GatewayView | None
) -> None:
    """Mode, sources and codes depend on the set of instances, not on who was seen first."""
    one, other = (decide(Inputs(services=services, gateway=gateway)) for services in orders)
    assert one[0] is other[0]
    assert [(r.source, r.code) for r in one[1]] == [(r.source, r.code) for r in other[1]]


@given(replicas, st.sampled_from(SERVICES))
def test_a_ready_replica_more_never_adds_a_trouble(services: list[ServiceReport], service: str) -> None:
    """A further ready one gives no service a reason that had none, and of the others changes nothing."""
    before = decide(Inputs(services=services, gateway=UP))[1]
    after = decide(Inputs(services=[*services, report(service, instance="9")], gateway=UP))[1]
    assert {r.source for r in after} <= {r.source for r in before}
    assert [r for r in after if r.source != service] == [r for r in before if r.source != service]


@given(replicas, st.sampled_from(["broker", "data"]))
def test_one_ready_replica_is_enough_but_for_a_lost_link(services: list[ServiceReport], service: str) -> None:
    """Beside a ready broker or data service the only trouble left is another one's link."""
    reasons = decide(Inputs(services=[*services, report(service, instance="9")], gateway=UP))[1]
    assert {r.code for r in reasons if r.source == service} <= {"link_lost"}


@given(replicas)
def test_no_feed_that_has_a_share_may_be_amiss(services: list[ServiceReport]) -> None:
    """Beside a ready feed there is a trouble exactly if one in a slot lives and is not ready, or any has lost its link."""
    reasons = decide(Inputs(services=[*services, report("feed", instance="9")], gateway=UP))[1]
    others = [r for r in services if r.service == "feed" and r.state not in (READY, ConnectionState.STOPPED)]
    amiss = any(r.instance in {"0", "1"} or r.state is ConnectionState.DEGRADED for r in others)
    assert any(r.source == "feed" for r in reasons) == amiss
