"""Running a scenario against a Gateway, by its clock."""

from __future__ import annotations

import structlog

from ibstream_gateway_emulator.control.scenario import Scenario
from ibstream_gateway_emulator.faults import acts
from ibstream_gateway_emulator.gateway import Gateway

_log = structlog.get_logger(__name__)


async def run_scenario(scenario: Scenario, gateway: Gateway) -> None:
    """Do every verb at its time, and return after the last. One that cannot be done then is logged, and the rest goes on."""
    started_s = gateway.clock.monotonic()
    for due in scenario.plan(gateway.settings.seed):
        early_s = started_s + due.at_s - gateway.clock.monotonic()
        if early_s > 0:
            await gateway.clock.sleep(early_s)
        try:
            acts.command(gateway, due.verb)
        except acts.CommandError as error:
            _log.warning("gateway_emulator.scenario_step_failed", step=due.step, verb=due.verb.name, error=str(error))
        else:
            _log.info("gateway_emulator.scenario_step", step=due.step, verb=due.verb.name)
