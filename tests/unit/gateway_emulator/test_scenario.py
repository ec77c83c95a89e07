"""Scenario files: what comes when, the same for the same seed, and errors that name step and key."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support import eventually, run

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.control.durations import seconds
from ibstream_gateway_emulator.control.run import run_scenario
from ibstream_gateway_emulator.control.scenario import ScenarioError, load, parse
from ibstream_gateway_emulator.gateway import Gateway
from ibstream_gateway_emulator.settings import EmulatorSettings

TEXT = """
steps:
  - {at: 5s, verb: delay, ms: 40}
  - {after: 10s, verb: clear}
  - every: 30s
    until: 2m
    jitter: 5s
    choose:
      - {verb: drop_connection, client_id: 1}
      - {verb: freeze, for_s: 2}
"""


def test_steps_come_in_order_and_those_that_repeat_between_the_others() -> None:
    due = list(parse(TEXT, "x").plan(7))
    assert [(one.at_s, one.verb.name) for one in due[:2]] == [(5.0, "delay"), (15.0, "clear")]
    repeated = due[2:]
    assert len(repeated) == 4
    for turn, one in enumerate(repeated, 1):
        assert 30 * turn <= one.at_s <= 30 * turn + 5
        assert one.verb.name in ("drop_connection", "freeze")


def test_the_same_seed_plans_the_same_and_another_seed_something_else() -> None:
    long = TEXT.replace("until: 2m", "until: 2h")
    assert list(parse(long, "x").plan(7)) == list(parse(long, "x").plan(7))
    assert list(parse(long, "x").plan(7)) != list(parse(long, "x").plan(8))
    chosen = {one.verb.name for one in parse(long, "x").plan(7)}
    assert chosen == {"delay", "clear", "drop_connection", "freeze"}
    own = "seed: 3" + long
    assert list(parse(own, "x").plan(7)) == list(parse(own, "x").plan(8))


def test_a_step_without_end_goes_on_for_ever() -> None:
    plan = parse("steps: [{every: 1s, verb: clear}, {every: 2s, at: 0s, verb: freeze}]", "x").plan(7)
    times = [one.at_s for one in itertools.islice(plan, 3_000)]
    assert times == sorted(times)
    assert times[-1] > 1_900


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [", "not YAML"),
        ("[]", "a list under `steps`"),
        ("{steps: [], speed: 2}", "speed: no key of a scenario"),
        ("{steps: [], seed: high}", "seed: 'high' is no whole number"),
        ("steps: [{verb: clear}]", "step 1: at: missing"),
        ("steps: [{at: 1s, verb: clear}, {at: soon, verb: clear}]", "step 2: at: 'soon' is no duration"),
        ("steps: [{at: 1s, after: 1s, verb: clear}]", "step 1: at: give either at or after"),
        ("steps: [{at: 1s, until: 2s, verb: clear}]", "step 1: until: only for a step with every"),
        ("steps: [{every: 1ms, verb: clear}]", "step 1: every: 0.001 s is too often"),
        ("steps: [{every: 1s, jitter: 2s, verb: clear}]", "step 1: jitter: longer than every"),
        ("steps: [{at: 1s, verb: dely}]", "step 1: there is no verb 'dely'; known are"),
        ("steps: [{at: 1s, verb: delay, ms: many}]", "step 1: delay: Expected `float`"),
        ("steps: [{at: 1s, verb: delay, ms: 1, foo: 2}]", "step 1: delay: Object contains unknown field `foo`"),
        ("steps: [{at: 1s, choose: []}]", "step 1: choose: a list of verbs"),
        ("steps: [{at: 1s, ms: 1, choose: [{verb: clear}]}]", "step 1: ms: not beside choose"),
        ("steps: [7]", "step 1: 7 is no step"),
    ],
)
def test_errors_name_the_file_the_step_and_the_key(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(text, "night.yaml")
    assert str(error.value).startswith("night.yaml: ")
    assert said in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="nowhere"):
        load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "expected"), [("5s", 5), ("250ms", 0.25), ("1.5m", 90), ("2h", 7200), (3, 3), ("4", 4)]
)
def test_durations_are_written_as_people_do(text: object, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "5 days", True, None, "31000h"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|30 days"):
        seconds(text)


def test_a_scenario_runs_by_the_clock_and_outlives_a_step_that_cannot_be_done() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))
    gateway = Gateway(EmulatorSettings(symbols=("AAPL",)), clock)
    steps = parse(
        "steps: [{at: 1s, verb: fill, order_ref: nobody}, {at: 2s, verb: freeze}, {after: 3s, verb: clear}]", "x"
    )

    async def scenario() -> None:
        import asyncio

        running = asyncio.create_task(run_scenario(steps, gateway))
        seen = []
        for second in range(6):
            await eventually(lambda: running.done() or len(clock.sleeps) >= 1, what="the scenario to wait")
            seen.append((second, gateway.faults.is_frozen(1)))
            clock.advance(1)
            for _ in range(5):
                await clock.sleep(0)
        assert seen == [(0, False), (1, False), (2, True), (3, True), (4, True), (5, False)]
        await running

    run(scenario())
