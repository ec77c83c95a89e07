"""From SIGINT or SIGTERM to an orderly end, and to an end in any case."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import structlog

from ibstream.runtime.errors import EXIT_SOFTWARE, FatalError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HARD_EXIT_MARGIN_S = 2.0

_log = structlog.get_logger(__name__)


def run_until_signalled(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    *,
    grace_s: float = 8.0,
) -> int:
    """Run `main(stop)` on a new event loop and return the process's exit status.

    The first SIGINT or SIGTERM sets `stop`; `main` then has `grace_s` seconds to return before it is cancelled. A second
    signal cancels at once. If even cancellation does not end it (a library may swallow it, and Python 3.11 can lose it),
    the stacks of all tasks are logged and the process leaves hard with status 70: a stop must never hang.

    The same holds when `main` ended by itself and a task that it left behind does not.

    Status 0 after a clean end, the error's own status after a `FatalError`, 70 after any other failure.
    """
    hard_exit = _HardExit(grace_s + _HARD_EXIT_MARGIN_S)
    try:
        return asyncio.run(_run(main, grace_s, hard_exit))
    except FatalError as error:
        _log.critical("process.fatal", error=str(error))
        return error.exit_status
    except Exception:  # noqa: BLE001 - the last resort of the process
        _log.critical("process.failed", exc_info=True)
        return EXIT_SOFTWARE
    finally:
        hard_exit.disarm()


async def _run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], grace_s: float, hard_exit: _HardExit) -> int:
    stop = asyncio.Event()
    work = asyncio.create_task(main(stop), name="main")
    with _signals_set(stop, work, grace_s, hard_exit):
        await asyncio.wait({work})
    hard_exit.arm(asyncio.get_running_loop())
    if work.cancelled():
        _log.warning("process.cancelled", grace_s=grace_s)
        return EXIT_SOFTWARE
    error = work.exception()
    if isinstance(error, BaseExceptionGroup):
        error = _root_cause(error)
    if error is not None:
        raise error
    return 0


def _root_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a TaskGroup wrapped: the fatal error or the only one; the group itself where several stand side by side."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        fatal = error.subgroup(FatalError)
        if fatal is None and len(error.exceptions) > 1:
            break
        error = (fatal or error).exceptions[0]
    return error


@contextlib.contextmanager
def _signals_set(stop: asyncio.Event, work: asyncio.Task[None], grace_s: float, hard_exit: _HardExit) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []  # `stop` says nothing about signals: main may have set it itself

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if len(received) > 1:
            work.cancel()
            return
        _log.info("process.stopping", signal=number.name, grace_s=grace_s)
        stop.set()
        loop.call_later(grace_s, work.cancel)
        hard_exit.arm(loop)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


class _HardExit:
    """Leaves the process in any case, from a thread, because the loop itself may be what hangs."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._timer: threading.Timer | None = None

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Leave `delay_s` seconds after the first call of this."""
        if self._timer is None:
            self._timer = threading.Timer(self._delay_s, self._leave, [loop])
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        """The loop has ended; stay."""
        if self._timer is not None:
            self._timer.cancel()

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            _log.critical("process.stuck", stacks=_stacks(loop))
        finally:
            os._exit(EXIT_SOFTWARE)


def _stacks(loop: asyncio.AbstractEventLoop) -> str:
    text = io.StringIO()
    for task in asyncio.all_tasks(loop):
        task.print_stack(file=text)
    for frame in list(sys._current_frames().values()):  # noqa: SLF001 - the documented way to see threads
        traceback.print_stack(frame, file=text)
    return text.getvalue()
