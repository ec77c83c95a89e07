"""A service's connection to IBKR: its states, the one function that moves between them, and what a service asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ibstream.contracts.system import ConnectionState
from ibstream.runtime.errors import RecoverableError


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


@dataclass(frozen=True)
class ConnectionEvent:
    """Something that happened to a session: what, why, and IBKR's code where there is one."""

    trigger: Trigger
    reason: str = ""
    code: int = 0


class SessionLost(RecoverableError):  # noqa: N818 - a state of the world
    """The session with the Gateway ended."""


class Connection(Protocol):
    """A service's way to IBKR, or to a simulation of it.

    One session at a time: `connect`, then `next_event` again and again until it says `LOST`, then `close`; and anew.
    """

    @property
    def gateway(self) -> str:
        """`host:port`, or empty where there is no Gateway."""
        ...

    @property
    def account(self) -> str:
        """The account of the session; empty before the first."""
        ...

    async def connect(self, client_id: int) -> None:
        """Make the session; raise a `RecoverableError` when it cannot be made now."""
        ...

    async def next_event(self) -> ConnectionEvent:
        """What happens next to the session: `LINK_LOST`, `LINK_RESTORED` or `LOST`."""
        ...

    async def close(self) -> None:
        """End the session. Safe at any time, also twice."""
        ...
