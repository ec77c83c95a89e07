"""Verbs about the sockets: what happens to bytes and connections, whatever they carry."""

from __future__ import annotations

import re
from typing import Literal
from zoneinfo import ZoneInfo

from ibstream_gateway_emulator.faults.verb import (
    ClientId,
    Count,
    Event,
    Milliseconds,
    NotNegative,
    PieceBytes,
    Port,
    Seconds,
    State,
)
from ibstream_gateway_emulator.protocol import messages

ENDS = frozenset(name for name in messages.__all__ if name.endswith("End"))
"""The names of the messages that end a list."""
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")


class RefuseConnects(State, frozen=True, kw_only=True):
    """Nobody listens on the port: connecting is refused. Connections that stand, stay."""


class AcceptSilently(State, frozen=True, kw_only=True):
    """New connections are accepted and never hear a byte, as from a Gateway that waits for its second factor.

    They stay mute after the state has ended.
    """


class SilentAfterHandshake(State, frozen=True, kw_only=True):
    """The server's version is answered and startApi is taken, and then nothing is said. Such a connection stays mute."""

    client_id: ClientId | None = None
    """This client alone; None: every client that connects."""


class DropConnection(Event, frozen=True, kw_only=True):
    """Close connections."""

    client_id: ClientId | None = None
    """This client's; None: all, also those that have not named themselves yet."""
    abortive: bool = True
    """Whether the client sees a reset at once, and what is on its way to it is lost; else it reads to the orderly end."""


class HalfOpen(Event, frozen=True, kw_only=True):
    """The sockets stay, but what comes is not looked at and nothing is written, as after a silent failure of the network.

    They end when the client closes, at a restart, or when `clear` is commanded; new connections are sound. Orders that clients
    send into them are lost, as the journal knows.
    """

    client_id: ClientId | None = None
    """This client's; None: all."""
    keeps_client_id: bool = False
    """Whether the Gateway takes the client for connected until `clear` or a restart, even once it has closed: its id is in use
    (326)."""


class Freeze(State, frozen=True, kw_only=True):
    """The Gateway stands still towards its clients: nothing is read, nothing is written; then all goes on.

    Ticks of that time are left out; every other message is kept. IBKR's side, orders and fills, goes on. Where slow clients are
    to be disconnected, those who get ticks are cut off if it lasts for more than three seconds.
    """

    client_id: ClientId | None = None
    """This client alone; None: all, also those that connect meanwhile."""


class Delay(State, frozen=True, kw_only=True):
    """What is sent arrives later, in order."""

    ms: Milliseconds
    """Milliseconds that every piece is held back."""
    jitter_ms: Milliseconds = 0
    """Up to so many milliseconds more, by chance, from the seed."""
    direction: Literal["out", "in", "both"] = "out"
    """What is delayed: what the Gateway says, what it hears, or both."""
    client_id: ClientId | None = None
    """This client alone; None: all."""


class SplitWrites(State, frozen=True, kw_only=True):
    """What the Gateway says is written in small pieces, each in a segment of its own."""

    size: PieceBytes = 1
    """Bytes of a piece."""
    gap_ms: Milliseconds = 0
    """Milliseconds between two pieces, so that a reader sees each alone."""
    client_id: ClientId | None = None
    """This client alone; None: all."""


class ResetPort(Event, frozen=True, kw_only=True):
    """Error 1300, as when the API's port was changed in the settings: clients are told the port and cut off."""

    port: Port | None = None
    """The port listened on from now on, 0 for any free one; None: the same as before."""


class Restart(Event, frozen=True, kw_only=True):
    """The Gateway closes its port and all connections and comes back. What IBKR knows, orders and account, goes on."""

    down_s: Seconds = 1.0
    """Seconds until it listens again, on the same port."""
    roll_back_order_ids: NotNegative = 0
    """By how much each client's nextValidId is lower afterwards."""
    deaf_s: Seconds = 0
    """Seconds before it closes in which what clients send is lost without a word: orders in flight."""


class NightlyRestart(State, frozen=True, kw_only=True):
    """A restart every day at the same time."""

    at: str = "23:45"
    """The time of day, hh:mm or hh:mm:ss."""
    time_zone: str = "America/New_York"
    """The time zone of `at`, by its IANA name."""
    down_s: Seconds = 60.0
    """Seconds until it listens again."""
    roll_back_order_ids: NotNegative = 0
    """By how much each client's nextValidId is lower afterwards."""
    deaf_s: Seconds = 0
    """Seconds before it closes in which what clients send is lost."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is no time of day or no time zone."""
        if not _TIME_OF_DAY.fullmatch(self.at):
            raise ValueError(f"at: {self.at!r} is no time of day; write hh:mm or hh:mm:ss")
        try:
            ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"time_zone: {self.time_zone!r} is no time zone; write one like America/New_York"
            ) from error


class OmitEnds(State, frozen=True, kw_only=True):
    """Lists come without the message that ends them."""

    ends: tuple[str, ...] = ()
    """Which: the names of the messages, such as `OpenOrderEnd`, `ExecDetailsEnd`, `PositionEnd`; empty: every one."""
    client_id: ClientId | None = None
    """This client alone; None: all."""
    count: Count | None = None
    """The next so many; None: all while it lasts."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what ends no list."""
        for name in self.ends:
            if name not in ENDS:
                raise ValueError(f"ends: {name!r} ends no list; known are {', '.join(sorted(ENDS))}")
