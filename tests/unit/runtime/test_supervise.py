"""`supervise`: one session after another until it is told to stop, and an end in any case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from support import eventually, run

from ibstream.contracts.system import ConnectionState
from ibstream.runtime import supervise as module
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import SYSTEM_CLOCK, ManualClock
from ibstream.runtime.connection import Trigger, advance
from ibstream.runtime.errors import ConfigurationError, FatalError, RecoverableError
from ibstream.runtime.supervise import STABLE_AFTER_S, root_cause, supervise, unless

DELAYS = exponential(1.0, 8.0)


class Session:
    """A scripted service: each session does what the next of `acts` does, and then serves until it is stopped."""

    def __init__(self, *acts: Callable[[Session], Any], at: str = "serve") -> None:
        self.clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
        self.stop = asyncio.Event()
        self.states: list[tuple[Trigger, str]] = []
        self.served = 0
        self.closed = 0
        self._acts = list(acts)
        self._at = at

    async def connect(self) -> str:
        """Make a session."""
        if self._at == "connect" and self._acts:
            await self._act()
        return "session"

    async def serve(self, session: str) -> None:
        """Serve it, and close it whatever happens."""
        assert session == "session"
        self.served += 1
        try:
            await self._act()
        finally:
            self.closed += 1

    async def _act(self) -> None:
        if not self._acts:
            await asyncio.Event().wait()
        outcome = self._acts.pop(0)(self)
        if asyncio.iscoroutine(outcome):
            await outcome

    async def run(self, **options: Any) -> None:
        """Supervise it."""
        await supervise(
            self.connect,
            self.serve,
            delays=DELAYS,
            on_state=lambda trigger, reason: self.states.append((trigger, reason)),
            stop=self.stop,
            clock=self.clock,
            **options,
        )

    async def sleeping(self, times: int) -> None:
        """Wait until the supervisor waits for the `times`-th time."""
        await eventually(lambda: len(self.clock.sleeps) >= times, what=f"{times} waits, not {self.clock.sleeps}")


@asynccontextmanager
async def running(session: Session, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Supervise for as long as the context lasts, then stop, within two seconds."""
    task = asyncio.create_task(session.run(**options))
    try:
        yield task
    finally:
        session.stop.set()
        async with asyncio.timeout(2):
            await task


def fail(error: BaseException) -> Callable[[Session], None]:
    """An act that raises."""

    def act(_: Session) -> None:
        raise error

    return act


def last(seconds: float, then: BaseException | None = None) -> Callable[[Session], None]:
    """An act that lasts a while on the session's clock, and then ends or fails."""

    def act(session: Session) -> None:
        session.clock.advance(seconds)
        if then is not None:
            raise then

    return act


@pytest.mark.parametrize("at", ["connect", "serve"])
def test_a_failed_session_is_tried_again(at: str) -> None:
    """Recoverable or unforeseen, in connect or in serve: wait, tell why, and try again."""
    acts = [fail(RecoverableError("away")), fail(ValueError("a bug")), fail(ExceptionGroup("g", [OSError("cut")]))]

    async def scenario() -> None:
        session = Session(*acts, at=at)
        async with running(session):
            for turn, delay_s in enumerate((1.0, 2.0, 4.0), 1):
                await session.sleeping(turn)
                session.clock.advance(delay_s)
            await eventually(lambda: session.served == (1 if at == "connect" else 4))
        assert session.clock.sleeps == [1.0, 2.0, 4.0]
        assert session.states == [
            (Trigger.CONNECT, ""),
            (Trigger.LOST, "away"),
            (Trigger.CONNECT, ""),
            (Trigger.LOST, "a bug"),
            (Trigger.CONNECT, ""),
            (Trigger.LOST, "cut"),
            (Trigger.CONNECT, ""),
            (Trigger.STOP, "stopping"),
        ]

    run(scenario())


def test_a_session_that_just_ends_is_made_again() -> None:
    """The end of `serve` is a loss like any other."""

    async def scenario() -> None:
        session = Session(last(0))
        async with running(session):
            await session.sleeping(1)
            session.clock.advance(1)
            await eventually(lambda: session.served == 2)
        assert (Trigger.LOST, "the session ended") in session.states
        assert session.closed == 2

    run(scenario())


def test_a_session_cancelled_from_within_is_made_again() -> None:
    """A library may cancel its own task; a TaskGroup around us would take that for an end and say nothing."""

    async def scenario() -> None:
        session = Session(fail(asyncio.CancelledError()))
        async with running(session) as task:
            await session.sleeping(1)
            assert not task.done()
            session.clock.advance(1)
            await eventually(lambda: session.served == 2)

    run(scenario())


def test_being_cancelled_is_not_taken_for_a_loss() -> None:
    """Whoever cancels the supervisor ends it, and the session is closed."""

    async def scenario() -> None:
        session = Session()
        task = asyncio.create_task(session.run())
        await eventually(lambda: session.served)
        task.cancel()
        await asyncio.wait([task], timeout=2)
        assert task.cancelled()
        assert session.closed == 1

    run(scenario())


def test_the_states_it_reports_are_possible() -> None:
    """With what `serve` adds, every step is one that the state machine allows."""

    async def scenario() -> None:
        session = Session(fail(RecoverableError("away")), at="connect")
        async with running(session):
            await session.sleeping(1)
            session.clock.advance(1)
            await eventually(lambda: session.served == 1)
        state = ConnectionState.IDLE
        for trigger, _ in session.states:
            state = advance(state, trigger)
        assert state is ConnectionState.STOPPED

    run(scenario())


@pytest.mark.parametrize(
    "error",
    [ConfigurationError("wrong"), ExceptionGroup("g", [OSError("cut"), ExceptionGroup("h", [FatalError("wrong")])])],
    ids=["plain", "in groups"],
)
def test_a_fatal_error_ends_it(error: Exception) -> None:
    """At once, as itself, out of whatever group it comes in."""

    async def scenario() -> None:
        session = Session(fail(error))
        with pytest.raises(FatalError, match="wrong"):
            await session.run()
        assert session.clock.sleeps == []
        assert session.closed == 1

    run(scenario())


def test_what_is_fatal_can_be_said_otherwise() -> None:
    """A caller may know better."""

    async def scenario() -> None:
        session = Session(fail(KeyError("k")))
        with pytest.raises(KeyError):
            await session.run(is_fatal=lambda error: isinstance(error, KeyError))

    run(scenario())


def test_the_waits_start_afresh_after_a_stable_session() -> None:
    """And only then: a session that is lost as soon as it is made is another failure of the same streak."""
    lost = RecoverableError("lost")

    async def scenario() -> None:
        session = Session(
            last(0, lost), last(STABLE_AFTER_S - 1, lost), last(0, lost), last(STABLE_AFTER_S, lost), last(0, lost)
        )
        async with running(session):
            for turn, delay_s in enumerate((1.0, 2.0, 4.0, 1.0, 2.0), 1):
                await session.sleeping(turn)
                assert session.clock.sleeps[-1] == delay_s
                session.clock.advance(delay_s)

    run(scenario())


def test_a_long_try_to_connect_is_no_stable_session() -> None:
    """However long it hangs before it fails, the waits go on growing."""

    async def scenario() -> None:
        session = Session(*[last(10 * STABLE_AFTER_S, RecoverableError("away"))] * 3, at="connect")
        async with running(session):
            for turn, delay_s in enumerate((1.0, 2.0, 4.0), 1):
                await session.sleeping(turn)
                assert session.clock.sleeps[-1] == delay_s
                session.clock.advance(delay_s)

    run(scenario())


@pytest.mark.parametrize("moment", ["connect", "serve", "wait"])
def test_stopping_at_any_moment(moment: str) -> None:
    """While it connects, serves or waits: what runs is given up, closed, and `STOP` is the last that is heard."""

    async def scenario() -> None:
        reached = asyncio.Event()

        async def hang(_: Session) -> None:
            reached.set()
            await asyncio.Event().wait()

        session = Session(fail(RecoverableError("away")) if moment == "wait" else hang, at=moment)
        async with running(session):
            await (session.sleeping(1) if moment == "wait" else reached.wait())
        assert session.states[-1] == (Trigger.STOP, "stopping")
        assert session.served == session.closed == (moment != "connect")

    run(scenario())


def test_stopped_before_it_began() -> None:
    """Nothing is connected to any more."""

    async def scenario() -> None:
        session = Session()
        session.stop.set()
        await session.run()
        assert session.states == [(Trigger.STOP, "stopping")]

    run(scenario())


def test_a_session_may_finish_what_it_has_in_hand() -> None:
    """With `drain_s` it ends by itself, undisturbed, if it does so in time."""

    async def scenario() -> None:
        done: list[str] = []

        async def drain(session: Session) -> None:
            await session.stop.wait()
            await SYSTEM_CLOCK.sleep(0.1)
            done.append("finished")

        session = Session(drain)
        async with running(session, drain_s=5.0):
            await eventually(lambda: session.served)
        assert done == ["finished"]

    run(scenario())


def test_a_session_that_does_not_finish_in_time_is_cancelled() -> None:
    """`drain_s` is a bound, not a hope."""

    async def scenario() -> None:
        session = Session()
        async with running(session, drain_s=0.1):
            await eventually(lambda: session.served)
        assert session.closed == 1

    run(scenario())


def test_a_task_that_swallows_cancellation_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left behind after a grace."""
    monkeypatch.setattr(module, "CANCEL_GRACE_S", 0.1)

    async def scenario() -> None:
        finish = asyncio.Event()

        async def deaf(_: Session) -> None:
            while not finish.is_set():
                try:
                    await finish.wait()
                except asyncio.CancelledError:
                    continue

        session = Session(deaf)
        async with running(session):
            await eventually(lambda: session.served)
        assert session.states[-1][0] is Trigger.STOP
        finish.set()
        await eventually(lambda: session.closed)

    run(scenario())


def test_unless_returns_what_was_done_in_time() -> None:
    """The result where there is one, None where `stop` came first, the error where it failed."""

    async def scenario() -> None:
        stop = asyncio.Event()

        async def give(value: str) -> str:
            await asyncio.sleep(0)  # noqa: TID251 - yields, waits for no time
            return value

        async def raising() -> None:
            raise RecoverableError("no")

        assert await unless(stop, give("done")) == "done"
        with pytest.raises(RecoverableError):
            await unless(stop, raising())
        stop.set()
        assert await unless(stop, asyncio.Event().wait()) is None

    run(scenario())


def test_root_cause() -> None:
    """The first error of a group, however deep; of several a fatal one before the others."""
    ordinary, fatal = OSError("cut"), FatalError("wrong")
    assert root_cause(ordinary) is ordinary
    assert root_cause(ExceptionGroup("a", [ExceptionGroup("b", [ordinary, ValueError()])])) is ordinary
    assert root_cause(ExceptionGroup("a", [ordinary, ExceptionGroup("b", [ValueError(), fatal])])) is fatal
