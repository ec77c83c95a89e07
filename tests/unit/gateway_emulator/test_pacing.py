"""The rationing of historical bars of 30 seconds and less."""

from __future__ import annotations

import pytest

from ibstream_gateway_emulator.domain.pacing import (
    ALL_MAX,
    ALL_WITHIN_NS,
    IDENTICAL_WITHIN_NS,
    SAME_MAX,
    SAME_WITHIN_NS,
    Asked,
    HistoricalPacing,
)

SECOND = 1_000_000_000


def asked(number: int = 0, *, symbol: str = "AAPL", exchange: str = "SMART", what: str = "TRADES") -> Asked:
    return Asked(symbol, exchange, what, ("", "5 secs", f"{100 + number} S"))


def test_an_identical_request_has_to_wait_fifteen_seconds() -> None:
    pacing = HistoricalPacing()
    assert pacing.grants(asked(), 0)
    assert not pacing.grants(asked(), IDENTICAL_WITHIN_NS - 1)
    assert pacing.grants(asked(1), IDENTICAL_WITHIN_NS - 1), "another duration is another request"
    assert pacing.grants(asked(), IDENTICAL_WITHIN_NS)


def test_a_request_that_was_refused_does_not_count() -> None:
    pacing = HistoricalPacing()
    assert pacing.grants(asked(), 0)
    assert not pacing.grants(asked(), IDENTICAL_WITHIN_NS - 1)
    assert pacing.grants(asked(), IDENTICAL_WITHIN_NS)


def test_the_sixth_request_for_one_contract_within_two_seconds_is_one_too_many() -> None:
    pacing = HistoricalPacing()
    assert all(pacing.grants(asked(number), number) for number in range(SAME_MAX))
    assert not pacing.grants(asked(6), SAME_WITHIN_NS - 1)
    assert pacing.grants(asked(7), SAME_WITHIN_NS)


@pytest.mark.parametrize("other", [{"symbol": "MSFT"}, {"exchange": "ARCA"}, {"what": "MIDPOINT"}])
def test_another_contract_exchange_or_kind_has_a_ration_of_its_own(other: dict[str, str]) -> None:
    pacing = HistoricalPacing()
    assert all(pacing.grants(asked(number), 0) for number in range(SAME_MAX))
    assert not pacing.grants(asked(6), 0)
    assert pacing.grants(asked(6, **other), 0)


def test_bids_and_asks_count_twice() -> None:
    pacing = HistoricalPacing()
    assert pacing.grants(asked(1, what="BID_ASK"), 0)
    assert pacing.grants(asked(2, what="BID_ASK"), 0)
    assert not pacing.grants(asked(3, what="BID_ASK"), 0)


def test_sixty_requests_within_ten_minutes_and_no_more() -> None:
    pacing = HistoricalPacing()
    for number in range(ALL_MAX):
        assert pacing.grants(asked(symbol=f"S{number}"), number * SECOND)
    assert not pacing.grants(asked(symbol="LATE"), ALL_WITHIN_NS - 1)
    assert pacing.grants(asked(symbol="LATE"), ALL_WITHIN_NS), "the first of them has become old"
    assert not pacing.grants(asked(symbol="LATER"), ALL_WITHIN_NS)
