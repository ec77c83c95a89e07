"""A scenario: verbs at times, from a YAML file. What is left to chance follows from a seed.

    seed: 11                          # else the emulator's own
    steps:
      - at: 5s                        # after the start
        verb: delay
        ms: 40
      - after: 10s                    # after the step before
        verb: clear
      - every: 30s                    # again and again, first after 30 s (or `at`), until 5 minutes are over
        until: 5m
        jitter: 5s                    # each up to 5 s later
        choose:                       # one of these each time
          - {verb: drop_connection, client_id: 1}
          - {verb: freeze, for_s: 2}

`plan` is pure: it yields what comes when, in seconds from the start.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from ibstream.runtime.errors import ConfigurationError
from ibstream_gateway_emulator.control.durations import seconds
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.faults.chance import Chance

STEPS_MAX = 10_000
EVERY_S_MIN = 0.01
_TIMES = ("at", "after", "every", "until", "jitter")


class ScenarioError(ConfigurationError):
    """A scenario that cannot be read or makes no sense. The text names file, step and key."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a scenario. All times in seconds."""

    at_s: float
    """When it first comes, from the start."""
    every_s: float | None = None
    """The time to the next; None: it comes once."""
    until_s: float | None = None
    """When it no longer comes; None: never."""
    jitter_s: float = 0
    """Up to so much later, by chance."""
    choices: tuple[verbs.Verb, ...]
    """One of them comes each time."""


class Due(msgspec.Struct, frozen=True):
    """A verb and when it comes."""

    at_s: float
    step: int
    """The number of its step, from 1."""
    verb: verbs.Verb


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of one file."""

    steps: tuple[Step, ...]
    seed: int | None = None
    """None: the emulator's."""

    def plan(self, seed: int) -> Iterator[Due]:
        """What comes when, in order; without end where a step has none."""
        chosen = seed if self.seed is None else self.seed
        rows = [_times(number, step, chosen) for number, step in enumerate(self.steps, 1)]
        yield from heapq.merge(*rows, key=lambda due: (due.at_s, due.step))


def load(path: Path) -> Scenario:
    """The scenario in a file. Raises `ScenarioError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read the scenario {path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Scenario:
    """The scenario in a text; `name` is what errors call it. Raises `ScenarioError`."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or not isinstance(document.get("steps"), list):
        raise ScenarioError(f"{name}: a scenario is a mapping with a list under `steps`")
    unknown = sorted(set(document) - {"steps", "seed"})
    if unknown:
        raise ScenarioError(f"{name}: {unknown[0]}: no key of a scenario; known are steps and seed")
    seed = document.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ScenarioError(f"{name}: seed: {seed!r} is no whole number")
    if len(document["steps"]) > STEPS_MAX:
        raise ScenarioError(f"{name}: {len(document['steps'])} steps; allowed are {STEPS_MAX}")
    return Scenario(steps=tuple(_steps(document["steps"], name)), seed=seed)


def _steps(values: list[Any], name: str) -> Iterator[Step]:
    before_s = 0.0
    for number, value in enumerate(values, 1):
        try:
            step = _step(value, before_s)
        except ValueError as error:
            raise ScenarioError(f"{name}: step {number}: {error}") from error
        before_s = step.at_s
        yield step


def _step(value: Any, before_s: float) -> Step:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no step; a step is a mapping with `verb` and `at`, `after` or `every`")  # noqa: TRY004
    times = {key: _duration(key, value[key]) for key in _TIMES if key in value}
    rest = {key: one for key, one in value.items() if key not in _TIMES}
    if "at" in times and "after" in times:
        raise ValueError("at: give either at or after")
    if not {"at", "after", "every"} & set(times):
        raise ValueError("at: missing; a step says when by at, after or every")
    every_s = times.get("every")
    if every_s is None and "until" in times:
        raise ValueError("until: only for a step with every")
    if every_s is not None and every_s < EVERY_S_MIN:
        raise ValueError(f"every: {every_s:g} s is too often; at least {EVERY_S_MIN:g} s")
    if every_s is not None and times.get("jitter", 0) > every_s:
        raise ValueError("jitter: longer than every, so that steps would overtake each other")
    return Step(
        at_s=before_s + times["after"] if "after" in times else times.get("at", every_s or 0.0),
        every_s=every_s,
        until_s=times.get("until"),
        jitter_s=times.get("jitter", 0.0),
        choices=_choices(rest),
    )


def _duration(key: str, value: object) -> float:
    try:
        return seconds(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _choices(rest: dict[str, Any]) -> tuple[verbs.Verb, ...]:
    if "choose" not in rest:
        return (verbs.from_builtins(rest),)
    if len(rest) > 1:
        raise ValueError(f"{next(key for key in rest if key != 'choose')}: not beside choose; put it into the choices")
    if not isinstance(rest["choose"], list) or not rest["choose"]:
        raise ValueError("choose: a list of verbs, at least one")
    return tuple(verbs.from_builtins(one) for one in rest["choose"])


def _times(number: int, step: Step, seed: int) -> Iterator[Due]:
    chance = Chance(seed, f"step {number}")
    for turn in itertools.count():
        at_s = step.at_s + turn * (step.every_s or 0)
        if step.until_s is not None and at_s > step.until_s:
            return
        late_s = step.jitter_s * chance.unit()
        yield Due(at_s + late_s, number, step.choices[chance.index(len(step.choices))])
        if step.every_s is None:
            return
