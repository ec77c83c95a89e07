"""One storm, from its plan to its report: requests are written all along while brokers die and everything else goes wrong.

async with stage: rage      requests, disturbances and deaths, side by side
settle                      everything is mended, what rests is cancelled, and every request gets its outcome
judge                       what really happened against what was told, until it agrees or time is up
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from faults.storm_faults import BROKER, OTHER, CorrectOne, Disturbance, OthersTrade, RedisDies
from faults.storm_plan import Life, Plan
from faults.storm_requests import Asked
from faults.storm_settle import JUDGED_WITHIN_S, judged, mend, settle
from faults.storm_truth import Evidence
from faults.storm_world import STARTED_WITHIN_S, World, world
from system import Process

from ibstream.contracts.orders import OrderRequest
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.control.handle import CommandError
from ibstream_gateway_emulator.faults import verbs

JUDGED_FIRST_WITHIN_S = 40.0
"""Of an account that was never followed: twice the positions' own time of grace, and some."""

LOGGED = {"sent again": "broker.order_sent_again", "risen": "broker.order_risen", "twins": "broker.twin_orders"}
"""What the report counts in the brokers' logs."""

NEVER_LOGGED = ("supervisor.unexpected_error", "broker.inbox_full", "ibkr.probe_failed")
"""What no fault may lead to."""


@dataclass
class Report:
    """What a storm was, and what did not agree afterwards."""

    plan: Plan
    evidence: Evidence
    complaints: list[str]
    deaths: Counter[str] = field(default_factory=Counter)
    """By fault point; `at random` for those killed where they stood."""
    disturbed: Counter[str] = field(default_factory=Counter)
    """By kind of disturbance, those alone that could be done."""
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each part took."""


async def storm(plan: Plan, directory: Path, stage: AbstractAsyncContextManager[object]) -> Report:
    """Let the storm of a plan rage, as soon as it may enter the stage; and report."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - in no time
    started = SYSTEM_CLOCK.monotonic()
    async with world(directory, seed=plan.seed) as its_world:
        this = _Storm(plan, its_world)
        async with stage:
            raging = SYSTEM_CLOCK.monotonic()
            broker = await this.rage()
            settling = SYSTEM_CLOCK.monotonic()
            await mend(its_world, broker)
        await settle(its_world, broker)
        judging = SYSTEM_CLOCK.monotonic()
        report = await this.report()
        report.seconds = {
            "waited": raging - started,
            "raged": settling - raging,
            "settled": judging - settling,
            "judged": SYSTEM_CLOCK.monotonic() - judging,
        }
        return report


class _Storm:
    def __init__(self, plan: Plan, its_world: World) -> None:
        self._plan = plan
        self._world = its_world
        self._deaths: Counter[str] = Counter()
        self._disturbed: Counter[str] = Counter()
        self._counts = its_world.counts
        self._begun = 0.0

    # Raging.

    async def rage(self) -> Process:
        """Until everything was asked, every disturbance has happened, and every life is over. Returns the last broker."""
        if not self._plan.is_first_run:
            await self._world.follow_account()
        first = await self._world.spawn(self._plan.lives[0].told)
        await self._world.active(first, within_s=STARTED_WITHIN_S)
        self._begun = SYSTEM_CLOCK.monotonic()
        async with asyncio.TaskGroup() as group:
            last = group.create_task(self._live(first))
            group.create_task(self._ask())
            group.create_task(self._disturb(group))
        return last.result()

    async def _until(self, at_s: float) -> None:
        await SYSTEM_CLOCK.sleep(max(0.0, self._begun + at_s - SYSTEM_CLOCK.monotonic()))

    async def _ask(self) -> None:
        for asked in self._plan.asked:
            await self._until(asked.at_s)
            await self._world.write(_now(asked))
            self._counts["entries written"] += 1

    async def _live(self, active: Process) -> Process:
        """One broker after the other dies, and another one, which stood by, takes over."""
        lives = self._plan.lives
        for life, following in zip(lives, [*lives[1:], Life("")], strict=True):
            standby = await self._world.spawn(following.told)
            self._deaths[await self._death(active, life)] += 1
            await self._world.free_lease(active)
            await self._world.active(standby)
            active = standby
        return active

    async def _death(self, broker: Process, life: Life) -> str:
        """How it died: at its point, or at random."""
        try:
            async with asyncio.timeout(life.patience_s):
                status = await broker.ended()
        except TimeoutError:
            await broker.stop(signal.SIGKILL)
            return "at random"
        assert status == -signal.SIGKILL, f"the broker ended by itself with {status}:\n{broker.said()[-4000:]}"
        return life.point

    async def _disturb(self, group: asyncio.TaskGroup) -> None:
        for one in self._plan.disturbances:
            await self._until(one.at_s)
            try:
                await self._happen(one, group)
            except CommandError:  # no such order at work any more, nobody connected
                self._counts["disturbances that could not be"] += 1

    async def _happen(self, one: Disturbance, group: asyncio.TaskGroup) -> None:
        """Do it, and count it where it was done; what only ends a disturbance counts for none."""
        match one.event:
            case RedisDies(down_s=down_s):
                group.create_task(self._world.kill_redis(down_s))
            case OthersTrade(orders=orders):
                group.create_task(self._others_trade(one, orders))
                return
            case CorrectOne() as correction:
                await self._correct(correction)
            case verbs.Clear() | verbs.RestoreLink() as end:
                await self._end(end)
                return
            case verb:
                assert isinstance(verb, verbs.Verb)
                await self._command(verb)
        self._disturbed[one.kind] += 1

    async def _command(self, verb: verbs.Verb) -> None:
        if isinstance(verb, verbs.DropConnection | verbs.HalfOpen) and BROKER not in self._world.gateway.state.clients:
            raise CommandError("the broker is not connected")
        await self._world.control.command(verb)

    async def _end(self, verb: verbs.Verb) -> None:
        """What the Gateway kept for the time after the link's return is seen now or never."""
        self._counts["kept"] += sum(row.outcome == "kept" for row in await self._world.control.orders())
        await self._world.control.command(verb)

    async def _correct(self, wanted: CorrectOne) -> None:
        executions = [row for row in await self._world.control.executions() if row.client_id != OTHER]
        if not executions:
            raise CommandError("nothing was executed yet")
        row = executions[int(wanted.pick * len(executions))]
        await self._world.control.correct_execution(exec_id=row.exec_id, price=wanted.price, quantity=wanted.quantity)

    async def _others_trade(self, one: Disturbance, orders: int) -> None:
        placed = await self._world.others_trade(orders, prefix=f"by-hand-{round(one.at_s * 1000)}")
        self._counts["orders of others"] += placed
        self._disturbed[one.kind] += placed > 0

    # Reporting.

    async def report(self) -> Report:
        """What there is to be known, once everything agrees or has had its time."""
        within_s = JUDGED_FIRST_WITHIN_S if self._plan.is_first_run else JUDGED_WITHIN_S
        evidence, found = await judged(self._world, within_s=within_s)
        logged = Counter(str(record.get("event")) for record in self._world.logs())
        found += [f"{times} times in the logs: {name}" for name, times in logged.items() if name in NEVER_LOGGED]
        self._counts.update({name: logged[event] for name, event in LOGGED.items()})
        return Report(self._plan, evidence, found, self._deaths, self._disturbed, self._counts)


def _now(asked: Asked) -> OrderRequest | bytes:
    """The entry as it is written at this moment."""
    if isinstance(asked.request, bytes):
        return asked.request
    now = SYSTEM_CLOCK.now()
    return asked.at(now, now + timedelta(seconds=asked.valid_for_s) if asked.valid_for_s else None)
