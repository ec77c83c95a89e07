"""What IBKR's codes mean, row by row of its order table: a refusal is one only where the code can mean nothing else."""

from __future__ import annotations

import pytest

from ibstream.ibkr.codes import CODES, CodeClass, Verdict, classify, order_verdict

DEAD, ALIVE, UNCLEAR = Verdict.DEAD, Verdict.ALIVE, Verdict.UNCLEAR
CANCELLED, CANCEL_REFUSED = Verdict.CANCELLED, Verdict.CANCEL_REFUSED

_ROWS: list[tuple[tuple[int, ...], CodeClass, Verdict, Verdict]] = [
    ((103, 106, 107), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((104,), CodeClass.ORDER_UNKNOWN, UNCLEAR, UNCLEAR),
    ((105,), CodeClass.MODIFY_REJECTED, ALIVE, ALIVE),
    ((109, 163, 164, 382, 383, 451), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((110,), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((111, 113), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((133, 134, 135), CodeClass.ORDER_UNKNOWN, UNCLEAR, UNCLEAR),
    ((136, 161, 10148), CodeClass.CANCEL_REJECTED, CANCEL_REFUSED, CANCEL_REFUSED),
    ((154,), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((158, 159), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((200,), CodeClass.UNKNOWN_CONTRACT, DEAD, UNCLEAR),
    ((201, 203), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((202,), CodeClass.ORDER_CANCELLED, CANCELLED, CANCELLED),
    ((320, 321), CodeClass.VALIDATION, DEAD, UNCLEAR),
    ((322,), CodeClass.VALIDATION, UNCLEAR, UNCLEAR),
    ((328, 329), CodeClass.MODIFY_REJECTED, ALIVE, ALIVE),
    ((334, 336, 337, 343, 391), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((354,), CodeClass.NO_PERMISSION, UNCLEAR, UNCLEAR),
    ((355, 388, 10250), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((387,), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((399, 481), CodeClass.ORDER_WARNING, ALIVE, ALIVE),
    ((404,), CodeClass.ORDER_HELD, ALIVE, ALIVE),
    ((351, 411), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((412, 460), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((413,), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((426, 434, 435, 436), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((400, 439, 440, 441, 442, 443), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((2102,), CodeClass.MODIFY_REJECTED, ALIVE, ALIVE),
    ((2109, 2111, 2137, 2161), CodeClass.ORDER_WARNING, ALIVE, ALIVE),
    ((10006, 10015), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((10147, 10149), CodeClass.ORDER_UNKNOWN, UNCLEAR, UNCLEAR),
    ((10240,), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    (tuple(range(10242, 10253)), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((10285, 10289, 10293, 10318), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
    ((10311, 10327, 10329, 10349), CodeClass.ORDER_WARNING, ALIVE, ALIVE),
    ((10324, 10326, 10328), CodeClass.ORDER_UNKNOWN, UNCLEAR, UNCLEAR),
    ((10268, 10269, 10270, 10340), CodeClass.ORDER_REJECTED, DEAD, UNCLEAR),
]
ORDER_CODES = [(code, kind, new, working) for codes, kind, new, working in _ROWS for code in codes]
"""What IBKR says on an order's id: its class, and what it means for a new order and for one that was seen working."""


@pytest.mark.parametrize(("code", "kind", "as_new", "when_working"), ORDER_CODES)
def test_what_a_code_says_about_an_order(code: int, kind: CodeClass, as_new: Verdict, when_working: Verdict) -> None:
    """A refusal kills a new order alone: on a working one it may mean a change. Advice never kills; ib_async lets it.

    Stock ib_async called 15 orders cancelled on 10349, and all of them filled.
    """
    assert classify(code) is kind
    assert order_verdict(code, "", acknowledged=False) is as_new
    assert order_verdict(code, "", acknowledged=True) is when_working


def test_the_rows_hold_every_code_that_is_only_about_orders() -> None:
    """One that is listed and not tested could be moved to another class unseen."""
    about_orders = {kind for kind in CodeClass if kind.value.startswith(("order_", "modify_", "cancel_"))}
    assert {code for code, kind in CODES.items() if kind in about_orders} <= {row[0] for row in ORDER_CODES}


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("code", [100, 9999, 2199, -1, 0])
def test_what_nobody_has_listed_is_unclear(code: int, acknowledged: bool) -> None:
    """So is what is listed as something else: too many messages may have stopped the order or not."""
    assert order_verdict(code, "", acknowledged=acknowledged) is Verdict.UNCLEAR


def test_read_only_refuses_a_new_order() -> None:
    """ib_async leaves such an order active for ever."""
    text = "Error validating request: The API interface is currently in Read-Only mode."
    assert order_verdict(321, text, acknowledged=False) is Verdict.DEAD


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
