"""What happens in one storm, decided beforehand from its seed: requests, faults, and where each broker dies. Pure.

The plan names moments and what is to happen; what of it is possible at that moment, the storm finds out. The same seed makes the
same plan on the same day (futures and options are named by their expiry).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random  # noqa: TID251 - seeded, so that a storm can be had again

from faults.storm_faults import Disturbance, disturbances
from faults.storm_requests import Asked, requests

from ibstream.runtime.faultpoints import POINTS

STORM_S = 8.0
"""How long requests are written and things go wrong."""

LIVES = 5
"""Brokers that die in one storm."""

FIRST_RUNS_ONE_IN = 5
"""Of the storms one in so many finds an account that was never followed."""

PATIENCE_S = 2.5
"""How long a broker may live at most; one that has not come by its fault point then is killed where it stands."""

RARE = ("resend.journalled", "intent.journalled")
"""A point that is only passed after a death at another one, and that other one."""

OFTEN = {
    "request.taken": 20,
    "intent.journalled": 30,
    "order.sent": 30,
    "request.acknowledged": 20,
    "input.taken": 40,
    "input.journalled": 40,
    "recovery.listed": 2,
    "recovery.journalled": 2,
}
"""How often a broker comes by a point in a second or two, about; at others it is too seldom to be waited for twice."""

ASKED_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
"""Stands in the plan's requests for the moment in which each is written."""


@dataclass(frozen=True)
class Life:
    """One broker process: the fault point at which it dies, and how long it has to come by there."""

    point: str
    """Empty: it is killed when its time is over, wherever it is."""
    times: int = 1
    patience_s: float = PATIENCE_S

    @property
    def told(self) -> str:
        """As the process is told."""
        return f"{self.point}:{self.times}" if self.point else ""


@dataclass(frozen=True)
class Plan:
    """One storm."""

    seed: int
    asked: tuple[Asked, ...]
    """By time."""
    disturbances: tuple[Disturbance, ...]
    """By time."""
    lives: tuple[Life, ...]
    """Of the broker that is active first, and of its successors."""
    is_first_run: bool
    """Whether no broker has followed this account before."""


def plan_of(seed: int, orders: int) -> Plan:
    """The storm of a seed, with at least so many orders asked for."""
    random = Random(seed)
    asked = requests(random, seed=seed, orders=orders, storm_s=STORM_S, at=ASKED_FIRST)
    return Plan(
        seed=seed,
        asked=asked,
        disturbances=disturbances(random, seed=seed, asked=asked, storm_s=STORM_S),
        lives=_lives(random, seed),
        is_first_run=seed % FIRST_RUNS_ONE_IN == 0,
    )


def _lives(random: Random, seed: int) -> tuple[Life, ...]:
    """Three fault points by turns, so that twenty seeds come by each several times; one at random, one at any moment."""
    turn = [POINTS[(seed * 3 + number) % len(POINTS)] for number in range(LIVES - 2)]
    points = [*turn, random.choice(POINTS)]
    random.shuffle(points)
    points.insert(random.randrange(len(points) + 1), "")
    return tuple(_life(random, point) for point in _with_causes(points))


def _with_causes(points: Sequence[str]) -> list[str]:
    """Before a death that follows from another one, that other one."""
    rare, cause = RARE
    return [one for point in points for one in ((cause, rare) if point == rare else (point,))]


def _life(random: Random, point: str) -> Life:
    most = OFTEN.get(point, 1)
    times = random.randint(1, most) if random.random() < 0.8 else 1
    patience_s = PATIENCE_S if point else random.uniform(0.5, PATIENCE_S)
    return Life(point, times, round(patience_s, 2))
