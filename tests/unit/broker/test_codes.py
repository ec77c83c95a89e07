"""What IBKR's codes mean, row by row of its order table: a refusal is one only where the code can mean nothing else."""

from __future__ import annotations

import pytest

from ibstream.ibkr.codes import CODES, CodeClass, Verdict, classify, order_verdict

REFUSED_WHEN_NEW = [
    *(103, 106, 107, 109, 110, 111, 113, 154, 163, 164, 200, 201, 203, 320, 321, 328, 334, 336, 337, 343, 351, 355),
    *(382, 383, 387, 388, 391, 411, 412, 413, 426, 434, 435, 436, 439, 440, 441, 442, 443, 451, 460, 10006, 10015),
    *(10240, 10242, 10243, 10244, 10245, 10246, 10247, 10248, 10249, 10250, 10251, 10252, 10268, 10269, 10270, 10285),
    *(10289, 10293, 10318, 10324, 10326, 10340),
]
ALIVE = [105, 329, 399, 404, 481, 2102, 2109, 2111, 2137, 2161, 10311, 10327, 10329, 10349]
UNCLEAR = [100, 104, 133, 134, 135, 136, 161, 322, 354, 10147, 10148, 10149, 10328]


@pytest.mark.parametrize("code", REFUSED_WHEN_NEW)
def test_a_refusal_kills_a_new_order_and_leaves_a_working_one_unclear(code: int) -> None:
    """On an order that IBKR has shown as its own it refuses a change, and the order may live on."""
    assert order_verdict(code, "", acknowledged=False) is Verdict.DEAD
    assert order_verdict(code, "", acknowledged=True) is Verdict.UNCLEAR


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("code", ALIVE)
def test_advice_never_kills(code: int, acknowledged: bool) -> None:
    """Stock ib_async calls the order cancelled on several of these; 15 such orders were all filled."""
    assert order_verdict(code, "", acknowledged=acknowledged) is Verdict.ALIVE


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("code", [*UNCLEAR, 9999, 2199])
def test_what_does_not_say_whether_the_order_lives_is_unclear(code: int, acknowledged: bool) -> None:
    """And so is every code that nobody has listed."""
    assert order_verdict(code, "", acknowledged=acknowledged) is Verdict.UNCLEAR


@pytest.mark.parametrize("acknowledged", [False, True])
def test_202_says_cancelled(acknowledged: bool) -> None:
    """With or without an acknowledgement before."""
    assert order_verdict(202, "Order Canceled - reason:", acknowledged=acknowledged) is Verdict.CANCELLED


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1100, CodeClass.LINK_LOST),
        (2110, CodeClass.LINK_LOST),
        (1101, CodeClass.LINK_RESTORED_DATA_LOST),
        (1102, CodeClass.LINK_RESTORED),
        (1300, CodeClass.PORT_CHANGED),
        (326, CodeClass.CLIENT_ID_IN_USE),
        (2100, CodeClass.ACCOUNT_UPDATES),
        (2101, CodeClass.ACCOUNT_UPDATES),
        *((code, CodeClass.FARM_BROKEN) for code in (2103, 2105, 2157)),
        *((code, CodeClass.FARM_OK) for code in (2104, 2106, 2158)),
        *((code, CodeClass.FARM_IDLE) for code in (2107, 2108, 2119)),
        (10197, CodeClass.COMPETING_SESSION),
        (100, CodeClass.PACING),
        (420, CodeClass.PACING),
        *((code, CodeClass.CAPACITY) for code in (101, 309, 10190)),
        *((code, CodeClass.NO_PERMISSION) for code in (354, 10089, 10168, 10186, 10187, 10189)),
        *((code, CodeClass.DELAYED_DATA) for code in (10090, 10091, 10167)),
        *((code, CodeClass.LIVE_UPDATES_LOST) for code in (316, 317, 10182, 10225)),
        *((code, CodeClass.BENIGN) for code in (300, 366)),
        *((code, CodeClass.INFO) for code in (165, 492, 2174, 2188)),
        (166, CodeClass.UNKNOWN_CONTRACT),
        (200, CodeClass.UNKNOWN_CONTRACT),
        (322, CodeClass.VALIDATION),
        (9999, CodeClass.UNLISTED),
    ],
)
def test_codes_about_connection_and_data(code: int, kind: CodeClass) -> None:
    """Each has the class that decides what is done about it."""
    assert classify(code) is kind


_PREFIX = "Historical Market Data Service error message:"


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (162, _PREFIX + "HMDS query returned no data: AAPL@SMART Trades", CodeClass.NO_DATA),
        (162, _PREFIX + "Historical data request pacing violation", CodeClass.PACING),
        (162, _PREFIX + "No market data permissions for NYSE STK", CodeClass.NO_PERMISSION),
        (162, _PREFIX + "invalid step: 7 secs", CodeClass.VALIDATION),
        (162, _PREFIX + "Time length exceed max.", CodeClass.VALIDATION),
        (162, _PREFIX + "API historical data query cancelled: 5", CodeClass.BENIGN),
        (162, _PREFIX + "Trading TWS session is connected from a different IP address", CodeClass.COMPETING_SESSION),
        (162, _PREFIX + "something new", CodeClass.UNLISTED),
        (420, "connected from a different IP address", CodeClass.COMPETING_SESSION),
        (321, "Error validating request: The API interface is currently in Read-Only mode.", CodeClass.READ_ONLY),
        (321, "Error validating request.-'em' : cause - Invalid account", CodeClass.VALIDATION),
    ],
)
def test_one_code_with_several_meanings_is_told_apart_by_its_text(code: int, text: str, kind: CodeClass) -> None:
    """No data is an answer, pacing is not; read-only is for the operator, a malformed request is ours."""
    assert classify(code, text) is kind


def test_no_code_stands_in_two_classes() -> None:
    """The table is a function; a code entered twice would take the meaning of its last row, silently."""
    from ibstream.ibkr import codes

    listed = [code for row in codes._TABLE.values() for code in row]
    assert len(listed) == len(set(listed)) == len(CODES)
