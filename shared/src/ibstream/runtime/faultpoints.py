"""Places at which a process can be told to die, so that tests prove what a crash there leaves behind.

`IBSTREAM_FAULT_POINT=intent.journalled:3` kills the process with SIGKILL the third time it comes by there. Without the variable a
point costs one comparison. Never set it in production.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from ibstream.runtime.errors import ConfigurationError

VARIABLE = "IBSTREAM_FAULT_POINT"

POINTS: Final = (
    "request.taken",  # read from the stream, nothing done yet
    "intent.journalled",  # promised, not sent
    "group.partly_sent",  # one order of a group sent, the others not
    "order.sent",  # sent, its request not acknowledged
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

_armed: dict[str, int] = {}


def arm() -> None:
    """Read the environment; called once by a process that has fault points. Raises `ConfigurationError`."""
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return
    name, _, times = wanted.partition(":")
    if name not in POINTS or not (times or "1").isdigit():
        raise ConfigurationError(f"{VARIABLE}={wanted} is no fault point; use NAME or NAME:TIMES with one of {', '.join(POINTS)}")
    _armed[name] = int(times or 1)


def fault_point(name: str) -> None:
    """Die here, if this is the point and the time."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
