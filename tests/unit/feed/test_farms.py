"""Which instruments wait for which of IBKR's data farms."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ibstream.contracts.instrument import Instrument
from ibstream_feed.domain.farms import depends

STOCK = Instrument(symbol="AAPL")
INDEX = Instrument(symbol="SPX", security_type="IND", exchange="CBOE")
PAIR = Instrument(symbol="EUR", currency="USD", security_type="CASH", exchange="IDEALPRO")
FOREIGN_PAIR = Instrument(symbol="EUR", currency="GBP", security_type="CASH", exchange="IDEALPRO")
FUTURE = Instrument(symbol="ES", security_type="FUT", exchange="CME", expiry="202612")
OPTION = Instrument(symbol="AAPL", security_type="OPT", expiry="20261218", strike=Decimal(250), right="C")
FOREIGN_STOCK = Instrument(symbol="SAP", currency="EUR")
FOREIGN_FUTURE = Instrument(symbol="DAX", security_type="FUT", currency="EUR", exchange="EUREX", expiry="202612")
ALL = (STOCK, INDEX, PAIR, FOREIGN_PAIR, FUTURE, OPTION, FOREIGN_STOCK, FOREIGN_FUTURE)


@pytest.mark.parametrize(
    ("farm", "carried"),
    [
        ("usfarm", (STOCK, INDEX)),
        ("usfarm.nj", (STOCK, INDEX)),
        ("usfuture", (FUTURE,)),
        ("usopt", (OPTION,)),
        ("cashfarm", (PAIR, FOREIGN_PAIR)),
        ("eufarm", ALL),
        ("hfarm", ALL),
        ("", ALL),
    ],
)
def test_a_farm_carries(farm: str, carried: tuple[Instrument, ...]) -> None:
    """What a farm's name tells; of one that tells nothing, any instrument may depend."""
    assert tuple(one for one in ALL if depends(farm, one)) == carried
