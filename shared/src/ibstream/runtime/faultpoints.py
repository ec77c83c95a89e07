"""Places at which a process can be told to die, so that tests prove what a crash there leaves behind.

    IBSTREAM_FAULT_POINT=intent.journalled           SIGKILL to itself the first time it comes by there
    IBSTREAM_FAULT_POINT=intent.journalled:3         the third time
    IBSTREAM_FAULT_POINT=intent.journalled:3:stop    SIGSTOP: it stands still until somebody sends SIGCONT, and goes on from there

Without the variable a point costs one comparison. Never set it in production.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Final

from ibstream.runtime.errors import ConfigurationError

VARIABLE = "IBSTREAM_FAULT_POINT"

POINTS: Final = (
    "request.taken",  # read from the stream, nothing done yet
    "intent.journalled",  # promised, not sent
    "group.partly_sent",  # one order of a group sent, the others not
    "order.sent",  # sent, its request not acknowledged
    "modify.journalled",  # asked for, not sent
    "modify.sent",
    "cancel.journalled",  # asked for, not sent
    "cancel.sent",
    "request.acknowledged",
    "input.taken",  # heard from IBKR, not journalled
    "input.journalled",
    "recovery.listed",  # IBKR's lists are here, nothing concluded
    "recovery.journalled",  # concluded, nothing sent again yet
    "resend.journalled",  # about to be sent again
)
"""Every point, in the order in which an order comes by them."""

_WANTED: Final = re.compile(r"(?P<name>[a-z._]+)(:(?P<times>[1-9][0-9]{0,8}))?(:(?P<stop>stop))?")

_armed: dict[str, int] = {}
_signals: dict[str, signal.Signals] = {}


def arm(*, live: bool = False) -> None:
    """Read the environment; called once by a process that has fault points. Raises `ConfigurationError`, always where `live`."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return
    if live:
        raise ConfigurationError(f"{VARIABLE} is set, and this process trades real money: unset it")
    found = _WANTED.fullmatch(wanted)
    if found is None or found["name"] not in POINTS:
        raise ConfigurationError(
            f"{VARIABLE}={wanted} is no fault point; use NAME, NAME:TIMES or NAME:TIMES:stop with one of {', '.join(POINTS)}"
        )
    _armed[found["name"]] = int(found["times"] or 1)
    _signals[found["name"]] = signal.SIGSTOP if found["stop"] else signal.SIGKILL


def fault_point(name: str) -> None:
    """Die here, or stand still, if this is the point and the time; that happens once."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        del _armed[name]
        os.kill(os.getpid(), _signals[name])
