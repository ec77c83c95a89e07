"""Keeping one session alive: connect, serve, wait, again. The only place where a failure is judged retryable or fatal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from ibstream.runtime.backoff import Delays
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import Trigger
from ibstream.runtime.errors import FatalError, RecoverableError

T = TypeVar("T")

OnState = Callable[[Trigger, str], None]
"""Called with each step of the session's life and the reason for it."""

STABLE_AFTER_S = 30.0
"""A session that lasted this long was a good one: the waits start again from the shortest."""

CANCEL_GRACE_S = 2.0
"""How long a cancelled task may take to end before it is abandoned (Python 3.11 can lose a cancellation)."""

_log = structlog.get_logger(__name__)


def fatal_by_type(error: BaseException) -> bool:
    """Whether trying again would be pointless. Unforeseen errors are retried, and logged with their traceback."""
    return isinstance(error, FatalError)


async def supervise(
    connect: Callable[[], Coroutine[Any, Any, T]],
    serve: Callable[[T], Coroutine[Any, Any, None]],
    *,
    delays: Delays,
    on_state: OnState,
    stop: asyncio.Event,
    clock: Clock,
    is_fatal: Callable[[BaseException], bool] = fatal_by_type,
    drain_s: float = 0.0,
) -> None:
    """Hold a session until `stop` is set; raise only what `is_fatal` says.

    `connect()` makes a session (never None) and `serve(session)` lasts as long as it does: it closes the session itself,
    whether it returns, raises or is cancelled, so its first statement is a `try`. When `stop` is set, `serve` has
    `drain_s` seconds to end by itself before it is cancelled. Between two sessions the loop waits as `delays` says,
    starting afresh once a session has lasted `STABLE_AFTER_S`. `on_state` hears `CONNECT` before each try, `LOST` after
    each failure or loss, and `STOP` at the end; what lies between is reported by `serve`.
    """
    waits = delays()
    while not stop.is_set():
        on_state(Trigger.CONNECT, "")
        reason, lasted_s = await _one_session(connect, serve, stop, clock, is_fatal, drain_s)
        if stop.is_set():
            break
        if lasted_s >= STABLE_AFTER_S:
            waits = delays()
        on_state(Trigger.LOST, reason)
        await unless(stop, clock.sleep(next(waits)))
    on_state(Trigger.STOP, "stopping")


async def _one_session(
    connect: Callable[[], Coroutine[Any, Any, T]],
    serve: Callable[[T], Coroutine[Any, Any, None]],
    stop: asyncio.Event,
    clock: Clock,
    is_fatal: Callable[[BaseException], bool],
    drain_s: float,
) -> tuple[str, float]:
    """Why it ended, and how many seconds it was served."""
    served_since: float | None = None
    reason = "the session ended"
    try:
        session = await unless(stop, connect())
        if session is not None:
            served_since = clock.monotonic()
            await unless(stop, serve(session), drain_s=drain_s)
    except asyncio.CancelledError:
        if _is_being_cancelled():
            raise
        reason = "the session was cancelled from within"  # by a library; a TaskGroup would end it without a word
    except Exception as error:
        cause = root_cause(error)
        if is_fatal(cause):
            raise cause from error
        if not isinstance(cause, RecoverableError):
            _log.error("supervisor.unexpected_error", exc_info=cause)
        reason = str(cause) or type(cause).__name__
    return reason, 0.0 if served_since is None else clock.monotonic() - served_since


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def root_cause(error: BaseException) -> BaseException:
    """The error inside the groups that TaskGroups wrap around it; of several, a fatal one first."""
    while isinstance(error, BaseExceptionGroup):
        fatal = error.subgroup(FatalError)
        error = (fatal or error).exceptions[0]
    return error


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, drain_s: float = 0.0) -> T | None:
    """Await `work`, but cancel it `drain_s` seconds after `stop` is set; then return None.

    `work` always gets to its first suspension, even where `stop` was set before: its task is the first to be scheduled.
    """
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if drain_s and not task.done():
            await asyncio.wait({task}, timeout=drain_s)
        if task.done():
            return task.result()
        return None
    finally:
        stopped.cancel()
        await cancelled(task)


async def cancelled(task: asyncio.Future[Any] | None) -> None:
    """Cancel a task and return when it has ended, or after `CANCEL_GRACE_S`; whatever it ended with is of no interest."""
    if task is None:
        return
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=CANCEL_GRACE_S)
    if not done:
        _log.error("supervisor.task_ignores_cancellation", task=repr(task))
    elif not task.cancelled():
        task.exception()  # heard, so that asyncio does not complain of one nobody asked for
