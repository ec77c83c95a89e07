"""One request, at most one order, exactly one outcome: through storms of crashes, losses and lies, each made from its seed.

    pytest tests/faults/test_orders.py --storm-seeds 21-60 --storm-orders 500

Real processes: brokers, a Redis that is killed and started again on its append-only file, and the stand-in Gateway over TCP.
While one storm settles the next one rages. The counts of every storm are shown at the end of the run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from pathlib import Path

import pytest
from faults.storm import Report, storm
from faults.storm_faults import KINDS
from faults.storm_plan import plan_of
from faults.storm_report import summary, table, totals

from ibstream.runtime.faultpoints import POINTS

pytestmark = pytest.mark.xdist_group("storms")  # one process runs them all: what they come by is counted together

SEEDS = "1-20"
ORDERS = 200
"""Of a storm, unless the command line says otherwise."""

AT_ONCE = 3
"""Storms that are not over; one of them rages, the others settle."""

REPORTED_WITHIN_S = 240.0

POINTS_FROM = 20
"""With so many storms or more, everything must have gone wrong at least once."""

EFFECTS = {
    "orders": ("refused as duplicates", "sent again", "unknown on the way", "kept", "orders of others"),
    "at the Gateway": ("lost", "rejected"),
    "lost by": ("lose_order", "lose_link"),
    "not acknowledged": ("all",),
    "rejected with": ("201",),
    "corrected": ("all",),
}
"""What disturbances lead to, by the report's names: a storm without them proves nothing about it."""


def _seeds(config: pytest.Config) -> range:
    first, _, last = (config.getoption("--storm-seeds", None) or SEEDS).partition("-")
    return range(int(first), int(last or first) + 1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per seed."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", _seeds(metafunc.config), ids=lambda seed: f"seed {seed}")


class Storms:
    """All storms of a run, on a loop and a thread of their own."""

    def __init__(self, seeds: list[int], orders: int, directory: Path) -> None:
        self._orders = orders
        self._directory = directory
        self._reports: dict[int, Future[Report]] = {seed: Future() for seed in seeds}
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._rage()), name="storms", daemon=True)

    def start(self) -> None:
        """Begin with the first."""
        self._thread.start()

    def report(self, seed: int) -> Report:
        """What became of a storm, once it is over."""
        return self._reports[seed].result(REPORTED_WITHIN_S)

    def reports(self) -> list[Report]:
        """Of those that came to an end."""
        futures.wait(self._reports.values(), timeout=REPORTED_WITHIN_S)
        return [one.result() for one in self._reports.values() if one.done() and one.exception() is None]

    def end(self) -> None:
        """Whatever still rages is broken off."""
        self._over.set()
        self._thread.join(REPORTED_WITHIN_S)

    async def _rage(self) -> None:
        stage, room = asyncio.Lock(), asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(seed, stage, room)) for seed in self._reports]
            while not all(task.done() for task in tasks) and not self._over.is_set():
                await asyncio.wait(tasks, timeout=0.5)
            for task in tasks:
                task.cancel()

    async def _one(self, seed: int, stage: asyncio.Lock, room: asyncio.Semaphore) -> None:
        report = self._reports[seed]
        async with room:
            try:
                report.set_result(await storm(plan_of(seed, self._orders), self._directory / f"seed-{seed}", stage))
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told by the test of this seed
                report.set_exception(error)


@pytest.fixture(scope="module")
def storms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storms]:
    """The storms of the seeds that were selected."""
    seeds = [
        int(str(item.callspec.params["seed"]))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function.__name__ == test_storm.__name__
    ]
    orders = request.config.getoption("--storm-orders", None) or ORDERS
    raging = Storms(seeds, orders, tmp_path_factory.mktemp("storms"))
    raging.start()
    yield raging
    raging.end()


def test_storm(seed: int, storms: Storms, tell: Callable[[str], None]) -> None:
    """No request has two orders, none is without exactly one outcome, and every execution is told exactly once."""
    report = storms.report(seed)
    tell(summary(report))
    assert not report.complaints, "\n".join([f"seed {seed}:", *report.complaints[:40]])


def test_everything_that_can_go_wrong_did(storms: Storms, tell: Callable[[str], None]) -> None:
    """Over all storms: a broker died at each fault point, each kind of disturbance took place, and they had their effects.

    Prints the total.
    """
    reports = storms.reports()
    tell(table(reports))
    if len(reports) < POINTS_FROM:
        pytest.skip(f"{len(reports)} storms do not come by everything; {POINTS_FROM} do")
    total = totals(reports)
    assert set(POINTS) - set(+total["deaths"]) == set(), "fault points at which no broker died"
    assert set(KINDS) - set(+total["disturbances"]) == set(), "disturbances that never took place"
    absent = [f"{name}: {figure}" for name, figures in EFFECTS.items() for figure in figures if not total[name][figure]]
    assert absent == [], "what never came of it"


def test_a_seed_makes_one_plan() -> None:
    """The same seed the same one, so that a storm can be had again; another seed another one."""
    assert plan_of(7, ORDERS) == plan_of(7, ORDERS)
    assert plan_of(7, ORDERS) != plan_of(8, ORDERS)
