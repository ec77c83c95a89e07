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

    Status 0 after a clean end, the error's own status after a `FatalError`, 70 after any other failure.
    """
    try:
        return asyncio.run(_run(main, grace_s))
    except FatalError as error:
        _log.critical("process.fatal", error=str(error))
        return error.exit_status
    except Exception:  # noqa: BLE001 - the last resort of the process
        _log.critical("process.failed", exc_info=True)
        return EXIT_SOFTWARE


async def _run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], grace_s: float) -> int:
    stop = asyncio.Event()
    work = asyncio.create_task(main(stop), name="main")
    with _signals_set(stop, work, grace_s):
        await asyncio.wait({work})
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
    """The one error that a TaskGroup wrapped, or the group itself where several stand side by side."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@contextlib.contextmanager
def _signals_set(stop: asyncio.Event, work: asyncio.Task[None], grace_s: float) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            work.cancel()
            return
        _log.info("process.stopping", signal=number.name, grace_s=grace_s)
        stop.set()
        loop.call_later(grace_s, work.cancel)
        _leave_hard_after(grace_s + _HARD_EXIT_MARGIN_S, loop)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _leave_hard_after(delay_s: float, loop: asyncio.AbstractEventLoop) -> None:
    """A thread, because the loop itself may be what hangs."""

    def leave() -> None:
        _log.critical("process.stuck", stacks=_stacks(loop))
        os._exit(EXIT_SOFTWARE)

    timer = threading.Timer(delay_s, leave)
    timer.daemon = True
    timer.start()


def _stacks(loop: asyncio.AbstractEventLoop) -> str:
    text = io.StringIO()
    for task in asyncio.all_tasks(loop):
        task.print_stack(file=text)
    for frame in list(sys._current_frames().values()):  # noqa: SLF001 - the documented way to see threads
        traceback.print_stack(frame, file=text)
    return text.getvalue()
