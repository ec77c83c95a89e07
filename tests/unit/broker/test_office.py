"""What stands between an order and a position whose fills do not add up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
from broker_rig import simulated_port
from support import run
from unit.broker.stories import NOW, submit

from ibstream.bus import Bus
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.orders import OrderStatus, Side
from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_broker.domain.gate import Standing
from ibstream_broker.domain.inputs import PositionReported, PositionsListed
from ibstream_broker.domain.limits import RiskLimits
from ibstream_broker.domain.positions import PositionBook
from ibstream_broker.domain.records import OrderRecord
from ibstream_broker.ledger import OrderLedger
from ibstream_broker.office import Office
from ibstream_broker.ports import BrokerPort
from ibstream_broker.risk_desk import RiskDesk

AAPL = Instrument(symbol="AAPL")


def disagreeing(account: str, con_id: int) -> PositionBook:
    """100 by fills, 60 by IBKR."""
    book = PositionBook(account)
    for minutes, quantity in ((0, 100), (10, 60)):
        held = PositionReported(
            account=account,
            con_id=con_id,
            symbol="AAPL",
            security_type="STK",
            currency="USD",
            quantity=Decimal(quantity),
            average_cost=Decimal(50),
        )
        at = NOW + timedelta(minutes=minutes)
        book.judge(PositionsListed(account=account, positions=[held]), asked_at=at, now=at, at_once=True)
    assert book.mismatches == 1
    return book


async def office_of(port: BrokerPort, bus: Bus) -> Office:
    """An office whose AAPL does not add up."""
    await port.connect(1)
    terms = await port.terms(AAPL)
    return Office(
        ledger=OrderLedger(bus, clock=SYSTEM_CLOCK),
        port=port,
        standing=Standing(),
        positions=disagreeing(port.account, terms.con_id),
        risk=RiskDesk(RiskLimits()),
        clock=SYSTEM_CLOCK,
        valid_for=timedelta(seconds=30),
    )


def test_an_order_that_works_already_is_not_counted_twice() -> None:
    """It may sell the 60 that are held: sent again as it was, or changed within them; what has filled of it is gone."""

    async def scenario() -> None:
        port = simulated_port()
        async with Bus("redis://127.0.0.1:1", client_name="test") as bus:
            office = await office_of(port, bus)
            request = submit(side=Side.SELL, quantity=Decimal(60))
            record = OrderRecord(
                request=request, entry_id="1-1", account=port.account, order_id=1, status=OrderStatus.SUBMITTED
            )
            assert office.blocked(request) is None
            office.ledger.interest.update(None, record)
            assert office.blocked(request) is not None, "as another order of the same size it is one too many"
            assert office.blocked(request, record) is None
            larger = msgspec.structs.replace(request, quantity=Decimal(61))
            assert office.blocked(larger, record) is not None
            elsewhere = msgspec.structs.replace(record, account="U1")
            office.ledger.interest.update(record, None)
            office.ledger.interest.update(None, elsewhere)
            assert office.blocked(request) is None, "what works in another account reduces nothing here"
            await port.close()

    run(scenario())
