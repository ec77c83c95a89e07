"""The stand-in Gateway against conversations recorded from a real one.

For each recording the stand-in is set up as the recording implies (`recordings.staging`), its client's steps are taken over TCP
at server version 178, and every answer is compared (`recordings.comparing`): the same messages in the same order with the same
states, codes, texts and instruments. That happens twice: with the settings that decide how the stand-in tells left as they are,
and with those that the recording shows most often. What differs is listed with its reason in `DIFFERENCES`; a difference that is
not listed fails, and so does one that is listed and no longer there.

    pytest tests/contract/test_emulator_recordings.py --recordings DIRECTORY      the same with other recordings
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from recordings.judging import Settings, differences, performed
from recordings.script import Conversation, Turn

DATA = Path(__file__).parents[1] / "data"
DIRECTORY = DATA / "live-gateway"
MADE_UP = DATA / "made-up-recordings"
CLOSELY_COMPARED = ("history", "orders", "past", "reference")
"""The made-up conversations of which nothing is a stream."""

_SCHEMATIC = (
    "the recording is schematic (round prices, no sizes): a snapshot gives the last trade, sizes and the day's figures"
)
_BOTH_WAYS = "this Gateway told three market orders PreSubmitted and the fourth, sent in the same way, Submitted"
_NO_OPEN_ORDER = "this recording has no openOrder with a fill, as one other has; two have it"
_NO_COMMISSION = "this recording has no commissionReport; every other with a fill has it"
_PRE_SUBMITTED_FIRST = "this Gateway told a GTC limit order PreSubmitted first; those of three recordings did not"
_STAYED_PRE_SUBMITTED = "this order stayed PreSubmitted; all others that rested became Submitted"
_PENDING = "one of six recorded cancels was told PendingCancel first"
_NO_202 = "one of six recorded cancels was not told 202"
_TYPES = "the recording has delayed ticks under the types of live ones, against IBKR's documentation"

DIFFERENCES: dict[Settings, dict[str, dict[str, str]]] = {
    "recorded": {
        "api_dollar_cost_averaging_aapl": {
            "place_order: order_status Submitted: status is 'PreSubmitted', recorded 'Submitted'": _BOTH_WAYS,
        },
        "quote_delayed_data": {
            f"req_quote: not recorded: {tick}": _SCHEMATIC
            for tick in (
                *(f"tick_price {field}" for field in (4, 6, 7, 9, 14)),
                *(f"tick_size {field}" for field in (0, 3, 5, 8)),
                *("tick_string 45", "tick_generic 49"),
            )
        },
    },
    "default": {
        "api_dollar_cost_averaging_aapl": {
            "place_order: not recorded: open_order": _NO_OPEN_ORDER,
            "place_order: not recorded: commission_report": _NO_COMMISSION,
            "place_order: order_status Submitted: status is 'PreSubmitted', recorded 'Submitted'": _BOTH_WAYS,
        },
        "api_future_campaign_mes": {"place_order: not recorded: open_order": _NO_OPEN_ORDER},
        "api_order_rest_cancel_aapl": {"cancel_order: missing: order_status PendingCancel": _PENDING},
        "api_tif_attribute_matrix_aapl": {
            "place_order: missing: open_order": _PRE_SUBMITTED_FIRST,
            "place_order: missing: order_status PreSubmitted": _PRE_SUBMITTED_FIRST,
        },
        "direct_cancel_order": {
            "place_order: not recorded: open_order": _STAYED_PRE_SUBMITTED,
            "place_order: not recorded: order_status Submitted": _STAYED_PRE_SUBMITTED,
            "cancel_order: not recorded: api_error 202": _NO_202,
        },
        "quote_delayed_data": {
            **{
                f"req_quote: not recorded: {tick}": _SCHEMATIC
                for tick in (
                    *(f"tick_price {field}" for field in (68, 72, 73, 75, 76)),
                    *(f"tick_size {field}" for field in (69, 70, 71, 74)),
                    *("tick_string 88", "tick_generic 90"),
                )
            },
            "req_quote: tick_price 1: field is '66', recorded '1'": _TYPES,
            "req_quote: tick_price 2: field is '67', recorded '2'": _TYPES,
        },
    },
}
"""By settings, recording and difference: why. `EmulatorSettings` documents the settings and which recording shows what."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "path" in metafunc.fixturenames:
        given = metafunc.config.getoption("--recordings")
        paths = sorted((Path(given) if given else DIRECTORY).glob("*.txt"))
        assert paths, f"no recordings in {given or DIRECTORY}"
        metafunc.parametrize("path", paths, ids=[path.stem for path in paths])


@pytest.mark.parametrize("settings", get_args(Settings))
def test_the_stand_in_answers_as_the_real_gateway_did(path: Path, settings: Settings) -> None:
    judge(path, settings, DIFFERENCES[settings].get(path.stem, {}))


@pytest.mark.parametrize("settings", get_args(Settings))
@pytest.mark.parametrize("path_made_up", sorted(MADE_UP.glob("*.txt")), ids=lambda path: path.stem)
def test_every_step_that_a_recording_may_hold_can_be_taken(path_made_up: Path, settings: Settings) -> None:
    """Nobody recorded these: they show that the harness can perform and compare all requests, orders and kinds of past."""
    judge(path_made_up, settings, {})


def judge(path: Path, settings: Settings, listed: dict[str, str]) -> None:
    found = differences(*performed(path, settings))
    assert [one for one in found if one not in listed] == []
    assert [one for one in listed if one not in found] == [], "these differences are no longer there: strike them off"


def test_what_is_listed_belongs_to_a_recording() -> None:
    listed = {name for table in DIFFERENCES.values() for name in table}
    assert listed <= {path.stem for path in DIRECTORY.glob("*.txt")}


def broken(conversation: Conversation) -> Iterator[tuple[str, Conversation]]:
    """The conversation with one answer left out, doubled or moved, or with one field of one answer changed."""
    for leg_number, leg in enumerate(conversation.legs):
        for turn_number, turn in enumerate(leg.turns):
            for place, answer in enumerate(turn.answers):
                for what, change in changes(turn, place):
                    other = copy.deepcopy(conversation)
                    change(other.legs[leg_number].turns[turn_number].answers)
                    yield f"{turn.name}, {answer.name} {place}: {what}", other


def changes(turn: Turn, place: int) -> Iterator[tuple[str, Any]]:
    yield "left out", lambda answers: answers.pop(place)
    yield "doubled", lambda answers: answers.insert(place, answers[place])
    if place and turn.answers[place].name != turn.answers[place - 1].name:
        yield "moved", lambda answers: answers.insert(place - 1, answers.pop(place))
    for name in CHANGED & turn.answers[place].fields.keys():
        yield f"another {name}", lambda answers, name=name: answers[place].fields.update({name: "7777"})
    for name in CONTRACT_CHANGED & turn.answers[place].fields.get("contract", {}).keys():
        yield (
            f"another contract.{name}",
            lambda answers, name=name: answers[place].fields["contract"].update({name: "7777"}),
        )


CHANGED = frozenset(
    {
        "status", "code", "message", "action", "quantity", "order_type", "tif", "account", "client_id", "why_held", "side",
        "shares", "symbol", "tag", "data_type", "position", "market_name", "min_tick", "long_name", "time_zone_id", "sessions",
        "completed_status", "accounts", "currency", "origin", "start_date_time", "end_date_time", "time_zone",
    }
)  # fmt: skip
CONTRACT_CHANGED = frozenset(
    {
        "symbol",
        "sec_type",
        "exchange",
        "currency",
        "local_symbol",
        "trading_class",
        "expiry",
        "strike",
        "right",
        "multiplier",
    }
)


def notices_every_change(path: Path) -> None:
    conversation, answers = performed(path, "recorded")
    usual = differences(conversation, answers)
    changed = dict(broken(conversation))
    assert len(changed) >= 2 * len(conversation.answers)
    assert [what for what, other in changed.items() if differences(other, answers) == usual] == []


def test_a_difference_anywhere_would_be_found(path: Path) -> None:
    """Each answer left out, doubled, moved, or told with another state, code, text, quantity or instrument is noticed."""
    notices_every_change(path)


@pytest.mark.parametrize("name", CLOSELY_COMPARED)
def test_a_difference_anywhere_in_what_is_made_up_would_be_found(name: str) -> None:
    notices_every_change(MADE_UP / f"{name}.txt")
