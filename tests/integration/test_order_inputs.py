"""What the executor tells and the broker has no room for, or no order at hand for."""

from __future__ import annotations

import pytest
from contract.brokers import submit
from integration.broker_cases import over_gateway
from support import eventually, log_of, run

from ibstream.contracts.orders import OrderStatus
from ibstream_broker import inbox as inbox_module


def test_what_was_dropped_is_recovered_at_once(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill that there was no room for is in the lists, and they are asked for long before they are due."""

    async def scenario() -> None:
        async with over_gateway(redis_url, reconcile_interval_s=300) as rig:
            with monkeypatch.context() as narrow:
                narrow.setattr(inbox_module, "INPUTS_MAX", 1)
                logged = log_of(inbox_module, narrow)
                await rig.orders.send(submit("dropped"))
                dropped = {"event": "broker.inbox_full", "dropped": "Executed"}
                await eventually(lambda: any(dropped.items() <= one.items() for one in logged), what="a fill dropped")
            outcome = await rig.orders.outcome("dropped", within_s=10)
            assert outcome.status is OrderStatus.FILLED
            assert len(await rig.orders.fills("dropped")) == 1

    run(scenario())
