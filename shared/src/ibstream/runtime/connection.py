"""The states of a service's connection to IBKR, and the one function that moves between them."""

from __future__ import annotations

from enum import StrEnum

from ibstream.contracts.system import ConnectionState


class Trigger(StrEnum):
    """What can happen to a connection."""

    CONNECT = "connect"
    """A try begins."""
    CONNECTED = "connected"
    """The API session is up; synchronising begins."""
    SYNCHRONISED = "synchronised"
    """Everything that the service needs from the session is in: work may begin."""
    LINK_LOST = "link_lost"
    """The Gateway answers, but its link to IBKR is down (1100, 2110)."""
    LINK_RESTORED = "link_restored"
    """The link is back (1101, 1102): synchronise again."""
    LOST = "lost"
    """The session ended or could not be made."""
    STOP = "stop"
    """The process ends."""


_S = ConnectionState

TRANSITIONS: dict[tuple[ConnectionState, Trigger], ConnectionState] = {
    (_S.IDLE, Trigger.CONNECT): _S.CONNECTING,
    (_S.CONNECTING, Trigger.CONNECTED): _S.SYNCHRONISING,
    (_S.CONNECTING, Trigger.LOST): _S.BACKING_OFF,
    (_S.SYNCHRONISING, Trigger.SYNCHRONISED): _S.READY,
    (_S.SYNCHRONISING, Trigger.LINK_LOST): _S.DEGRADED,
    (_S.SYNCHRONISING, Trigger.LINK_RESTORED): _S.SYNCHRONISING,
    (_S.SYNCHRONISING, Trigger.LOST): _S.BACKING_OFF,
    (_S.READY, Trigger.LINK_LOST): _S.DEGRADED,
    (_S.READY, Trigger.LINK_RESTORED): _S.SYNCHRONISING,
    (_S.READY, Trigger.LOST): _S.BACKING_OFF,
    (_S.DEGRADED, Trigger.LINK_LOST): _S.DEGRADED,  # 1100 repeats about once a minute
    (_S.DEGRADED, Trigger.LINK_RESTORED): _S.SYNCHRONISING,
    (_S.DEGRADED, Trigger.LOST): _S.BACKING_OFF,
    (_S.BACKING_OFF, Trigger.CONNECT): _S.CONNECTING,
    **{(state, Trigger.STOP): _S.STOPPED for state in _S},
    (_S.STOPPED, Trigger.CONNECT): _S.CONNECTING,  # a lease regained
}
"""Every step that is allowed; anything else is a programming error."""


class ImpossibleTransitionError(Exception):
    """A trigger arrived in a state that cannot see it: a bug, never bad luck."""


def advance(state: ConnectionState, trigger: Trigger) -> ConnectionState:
    """Return the state after `trigger`; raise `ImpossibleTransitionError` where the table has no entry."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise ImpossibleTransitionError(f"{trigger} cannot happen in state {state}") from None
