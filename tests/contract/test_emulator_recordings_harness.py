"""What holds recordings against the stand-in: how they are read, staged, said, and what counts as a difference."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from recordings import words
from recordings.asking import ask, request_of
from recordings.comparing import Comparison
from recordings.hearing import Heard, hear, name_of
from recordings.judging import compared, differences, performed
from recordings.manners import faults_of, manner_of
from recordings.markets import seeds_for
from recordings.moments import moment_of
from recordings.ordering import place_order
from recordings.past import past_of
from recordings.saying import StandInWords, UnknownStepError
from recordings.script import Conversation, Leg, Turn, UnreadableRecordingError, read_recording
from recordings.staging import key_of, stage_of

from ibstream.simulation.market import Market
from ibstream.simulation.sessions import to_ns
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol import messages as m
from ibstream_gateway_emulator.protocol import order_parts as parts
from ibstream_gateway_emulator.protocol import requests as r
from ibstream_gateway_emulator.protocol.base import encode
from ibstream_gateway_emulator.protocol.fields import TagValue
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.protocol.order_layout import names
from ibstream_gateway_emulator.protocol.place_order import TYPED
from ibstream_gateway_emulator.protocol.place_order_layout import LAYOUT
from ibstream_gateway_emulator.protocol.table import MESSAGES

DIRECTORY = Path(__file__).parents[1] / "data" / "live-gateway"
WORDS = StandInWords()
AAPL = {"symbol": "AAPL", "sec_type": "STK", "exchange": "SMART", "currency": "USD"}


def heard(name: str, **fields: Any) -> Heard:
    return Heard(name, fields)


def test_ids_may_differ_but_not_what_they_stand_for() -> None:
    comparison = Comparison()
    recorded = [heard("order_status", order_id=1, perm_id="70"), heard("order_status", order_id=2, perm_id="71")]
    assert list(comparison.differences(recorded[:1], [heard("order_status", order_id="9", perm_id="5")])) == []
    assert list(comparison.differences(recorded[:1], [heard("order_status", order_id="9", perm_id="6")])) == [
        "order_status: perm_id 70 stood for something else before"
    ]
    assert list(comparison.differences(recorded[1:], [heard("order_status", order_id="9", perm_id="7")])) == [
        "order_status: order_id 2 stood for something else before"
    ]
    unasked = [heard("execution_detail", req_id=-1)]
    assert list(comparison.differences(unasked, [heard("execution_detail", req_id="5")])) != []


def test_of_a_stream_each_kind_of_tick_is_compared_once() -> None:
    def tick(field: str) -> Heard:
        return heard("tick_price", field=field, price="1")

    turn = Turn(
        "req_quote", {"snapshot": False}, [heard("market_data_type", data_type=1), tick("1"), tick("2"), tick("1")]
    )
    told = [heard("market_data_type", data_type=1), tick("2"), tick("4"), tick("1")]
    assert list(Comparison().differences(*compared(turn, told))) == []
    assert list(Comparison().differences(*compared(turn, told[:2]))) == ["missing: tick_price 1"]
    snapshot = Turn("req_quote", {"snapshot": True}, turn.answers)
    assert list(Comparison().differences(*compared(snapshot, told))) != []


def test_numbers_are_compared_as_numbers_and_texts_as_texts() -> None:
    comparison = Comparison()
    recorded = [heard("position", position="10", contract={"strike": "0.0", "symbol": "AAPL"})]
    assert (
        list(
            comparison.differences(
                recorded, [heard("position", position="10.00", contract={"strike": "0", "symbol": "AAPL"})]
            )
        )
        == []
    )
    assert list(
        comparison.differences(recorded, [heard("position", position="11", contract={"strike": "0", "symbol": "aapl"})])
    ) == [
        "position: position is '11', recorded '10'",
        "position: contract.symbol is 'aapl', recorded 'AAPL'",
    ]


def test_a_limit_price_is_told_back_as_it_was_given() -> None:
    recorded = [heard("open_order", order_type="LMT", lmt_price="10.00")]
    assert list(Comparison().differences(recorded, [heard("open_order", order_type="LMT", lmt_price="10")])) == []
    assert list(Comparison().differences(recorded, [heard("open_order", order_type="LMT", lmt_price="11")])) != []


def talk(*turns: Turn) -> Conversation:
    """A conversation of one connection, on Wednesday 2026-04-15."""
    began = datetime(2026, 4, 15, 16, 0, tzinfo=UTC)
    return Conversation("talk", [Leg(began, [Turn("handshake", {}), *turns])])


def placing(tif: str, *states: str) -> Turn:
    """A limit order and the states that it was told."""
    return Turn("place_order", {"order_type": "LMT", "tif": tif}, [heard("order_status", status=one) for one in states])


@pytest.mark.parametrize(
    ("turns", "manner"),
    [
        ([placing("DAY", "PreSubmitted", "Submitted"), placing("GTC", "Submitted")], {"acknowledge_as": None}),
        ([placing("DAY", "Submitted")], {"acknowledge_as": ("Submitted",)}),
        ([placing("GTC", "PreSubmitted", "Submitted")], {"acknowledge_as": ("PreSubmitted", "Submitted")}),
        ([placing("DAY", "PreSubmitted")], {"acknowledge_as": ("PreSubmitted",)}),
        ([placing("DAY", "Submitted", "Filled")], {"acknowledge_as": ("Submitted",)}),
        ([placing("DAY", "PreSubmitted", "Filled")], {}),
        ([placing("DAY")], {}),
    ],
)
def test_how_orders_are_acknowledged_is_read_off_their_answers(turns: list[Turn], manner: dict[str, Any]) -> None:
    assert manner_of(talk(*turns)) == manner


def test_of_several_manners_the_one_shown_most_often_holds_for_the_whole_recording() -> None:
    told = [placing("DAY", "PreSubmitted", "Filled")] * 2 + [placing("DAY", "Submitted", "Filled")]
    assert manner_of(talk(*told)) == {}
    assert manner_of(talk(*told, told[-1], told[-1])) == {"acknowledge_as": ("Submitted",)}


def test_what_a_fill_and_a_cancel_are_told_with_is_read_off_their_answers() -> None:
    fill = Turn("place_order", {}, [heard("open_order"), heard("execution_detail"), heard("commission_report")])
    assert manner_of(talk(fill)) == {"open_order_with_fill": False, "tell_commission": True}
    cancel = Turn("cancel_order", {}, [heard("order_status", status="Cancelled"), heard("api_error", code=202)])
    assert manner_of(talk(cancel)) == {"tell_pending_cancel": False, "tell_cancel_202": True}


@pytest.mark.parametrize(
    ("name", "answers", "verb"),
    [
        (
            "place_order",
            [heard("api_error", code=201, message="No.")],
            verbs.RejectOrders(code=201, text="No.", count=1),
        ),
        ("place_order", [heard("api_error", code=321, message="The API is in Read-Only mode")], verbs.ReadOnlyApi()),
        (
            "place_order",
            [heard("open_order"), heard("api_error", code=399, message="later")],
            verbs.OrderWarning(code=399, text="later", count=1),
        ),
        ("req_quote", [heard("api_error", code=354, message="")], verbs.MarketDataPermission(code=354)),
        ("req_quote", [heard("api_error", code=10197, message="")], verbs.CompetingSession()),
        ("req_historical_bars", [heard("api_error", code=162, message="No")], verbs.FailHistory(code=162, text="No")),
        ("req_executions", [], verbs.OmitEnds(ends=("ExecDetailsEnd",))),
    ],
)
def test_what_goes_wrong_is_read_off_the_answers(name: str, answers: list[Heard], verb: verbs.Verb) -> None:
    assert faults_of(Turn(name, {}, answers)) == [verb]
    assert faults_of(Turn("req_current_time", {}, [heard("current_time")])) == []


def test_the_stage_of_two_clients_has_an_order_id_for_each() -> None:
    stage = stage_of(read_recording(DIRECTORY / "api_client_id0_order_observation_aapl.txt"), 7)
    assert stage.client_ids == [1, 0]
    assert stage.order_ids == {1: 295, 0: 13}
    assert stage.began.isoformat() == "2026-04-15T16:28:40+00:00"


@pytest.mark.parametrize(
    ("contract", "key"),
    [
        ({"sec_type": "STK", "symbol": "BRK B"}, "BRK.B"),
        ({"sec_type": "CASH", "symbol": "EUR", "currency": "USD"}, "EUR.USD"),
        ({"sec_type": "FUT", "symbol": "MES", "expiry": "20260618", "trading_class": "MES"}, "MESM2026"),
        ({"sec_type": "FUT", "symbol": "YW", "expiry": "20261214", "trading_class": "XW"}, "XWZ2026"),
        ({"sec_type": "OPT", "symbol": "QQQ", "local_symbol": "QQQ   270115P00500000"}, "QQQ   270115P00500000"),
    ],
)
def test_instruments_of_a_recording_have_a_key(contract: dict[str, Any], key: str) -> None:
    assert key_of(contract) == key


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("server nonsense {", r"it.txt, line 2: "),
        ("whisper hello {}", r"it.txt, line 2: 'whisper' is no step"),
        ("sleep long", r"it.txt, line 2: 'long' is no duration"),
        (f"raw server {base64.b64encode(b'1234').decode()}", r"it.txt, line 2: a frame of 0 bytes"),
    ],
)
def test_a_recording_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "it.txt"
    path.write_text(f"handshake {json.dumps({'connection_time': '20260411 20:12:16 CET'})}\n{line}\n")
    with pytest.raises(UnreadableRecordingError, match=message):
        read_recording(path)


def test_a_step_that_is_not_known_is_no_silent_success(tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    start = json.dumps({"connection_time": "20260411 20:12:16 CET"})
    path.write_text(f'handshake {start}\nserver managed_accounts {{"accounts":["DU1"]}}\nclient req_weather {{}}\n')
    with pytest.raises(UnknownStepError, match="client req_weather"):
        performed(path, "default")


# The words of recordings.


def test_every_request_can_be_said_by_its_own_name() -> None:
    """Of all that a client may send, with nothing said but the name, the bytes are those of such a request."""
    for name, kind in words.REQUEST_KINDS.items():
        if kind not in (r.PlaceOrder, r.StartApi):
            said = request_of(name, {}, WORDS)
            assert isinstance(said, kind), name
            assert ask(name, {}, WORDS) == r.write_request(said, 178)


def test_every_other_name_of_a_request_and_its_fields_means_one_that_there_is() -> None:
    assert set(words.REQUEST_ALIASES.values()) <= words.REQUEST_KINDS.keys()
    for kind, renamed in words.REQUEST_FIELDS.items():
        assert set(renamed.values()) <= set(kind.__struct_fields__), kind
    assert set(words.ORDER_FIELDS.values()) <= names(LAYOUT)


def test_every_other_name_of_a_message_and_its_fields_means_one_that_there_is() -> None:
    kinds = {kind.__name__: kind for kind in MESSAGES.values()}
    shapes = kinds | {name: kind for name, kind in vars(m).items() if isinstance(kind, type)}
    assert words.MESSAGE_NAMES.keys() <= shapes.keys()
    for name, renamed in words.MESSAGE_FIELDS.items():
        assert renamed.keys() <= set(shapes[name].__struct_fields__), name
    told = {name_of(kind) for kind in shapes.values()} | {"completed_order", "open_order"}
    assert set(words.MESSAGE_ALIASES.values()) <= told


@pytest.mark.parametrize(
    ("name", "fields", "request_"),
    [
        ("req_pnl_single", {"req_id": 7, "account": "DU1", "con_id": "3"}, r.ReqPnLSingle(7, "DU1", "", 3)),
        ("cancel_realtime_bars", {"req_id": 7}, r.CancelRealTimeBars(7)),
        ("cancel_historical_data", {"req_id": 7}, r.CancelHistoricalData(7)),
        ("global_cancel", {}, r.ReqGlobalCancel()),
        ("req_open_orders", {"scope": "all"}, r.ReqAllOpenOrders()),
        ("req_open_orders", {"scope": "auto"}, r.ReqAutoOpenOrders(bind=True)),
        ("cancel_open_orders", {}, r.ReqAutoOpenOrders(bind=False)),
        (
            "req_account_summary",
            {"req_id": 7, "account": "All", "tags": ["A", "B"]},
            r.ReqAccountSummary(7, "All", "A,B"),
        ),
        ("cancel_market_depth", {"req_id": 8}, r.CancelMktDepth(8, is_smart_depth=True)),
        ("req_executions", {"req_id": 7, "time": "20260415"}, r.ReqExecutions(7, 0, "", "20260415", "", "", "", "")),
    ],
)
def test_a_request_is_said_as_recorded(name: str, fields: dict[str, Any], request_: r.Request) -> None:
    assert request_of(name, fields, StandInWords(is_smart_depth={8: True})) == request_


def test_what_the_stand_in_does_not_know_is_asked_all_the_same() -> None:
    assert ask("req_histogram_data", {"req_id": 7}, WORDS) == frame(("88", "7"))
    assert ask("req_fundamental_data", {"req_id": 7}, WORDS) == frame(("52", "1", "7"))


def test_a_field_of_a_request_that_is_not_known_is_no_silent_success() -> None:
    request_of("cancel_order", {"order_id": 1, "ext_operator": ""}, WORDS)
    with pytest.raises(UnknownStepError, match="req_pnl: weather"):
        request_of("req_pnl", {"req_id": 7, "weather": "rain"}, WORDS)
    with pytest.raises(UnknownStepError, match="an order's weather"):
        place_order({"order_id": 1, "contract": AAPL, "weather": "rain"}, WORDS)


def test_every_attribute_of_an_order_can_be_said() -> None:
    """Every name of the layout in snake_case is read with its type; those of lists are told apart below."""
    lists = {"contract", "comboLegs", "orderComboLegs", "smartComboRoutingParams", "algoParams", "conditions"}
    for name in names(LAYOUT) - lists - {"deltaNeutralContract"}:
        said = place_order({"contract": AAPL, "order_id": 1, words.snake(name): "1"}, WORDS)
        told = {
            **said.attributes,
            **{api: getattr(said, place) for place, api in TYPED.items() if hasattr(said, place)},
        }
        assert str(told[name]) in ("1", "True"), name


def test_an_order_with_legs_algo_and_conditions_is_said_whole() -> None:
    said = place_order(
        {
            "order_id": "4",
            "contract": {"symbol": "AAPL", "sec_type": "BAG"},
            "algo_strategy": "Adaptive",
            "algo_params": [{"tag": "adaptivePriority", "value": "Normal"}],
            "combo_legs": [{"con_id": "9", "ratio": "2", "action": "SELL", "exchange": "SMART", "open_close": "1"}],
            "order_combo_leg_prices": ["1.5", ""],
            "smart_combo_routing": {"NonGuaranteed": "1"},
            "conditions": [
                {"type": 1, "conjunction": "o", "con_id": 9, "exchange": "SMART", "operator": 1, "value": "300"},
                {"type": 3, "operator": 0, "value": "20260415 15:00:00 US/Eastern"},
                {"type": 5, "sec_type": "STK", "exchange": "SMART", "symbol": "AAPL"},
            ],
        },
        StandInWords(con_id=lambda real: int(real) + 1),
    )
    assert said.legs == (parts.ComboLeg(10, 2, "SELL", "SMART", 1),)
    assert said.leg_prices == (Decimal("1.5"), None)
    assert said.algo_params == {"adaptivePriority": "Normal"}
    assert said.attributes["smartComboRoutingParams"] == (TagValue("NonGuaranteed", "1"),)
    assert said.conditions == (
        parts.PriceCondition("o", is_more=True, price=Decimal(300), con_id=10, exchange="SMART", trigger_method=0),
        parts.TimeCondition("a", is_more=False, time="20260415 15:00:00 US/Eastern"),
        parts.ExecutionCondition("a", security_type="STK", exchange="SMART", symbol="AAPL"),
    )


@pytest.mark.parametrize(
    ("message", "name", "some"),
    [
        (m.PnL(7, Decimal(1), None, Decimal(2)), "pnl", {"req_id": "7", "daily_pnl": "1", "realized_pnl": "2"}),
        (m.HeadTimestamp(7, "20000103-14:30:00"), "head_timestamp", {"timestamp": "20000103-14:30:00"}),
        (m.TickByTickMidpoint(7, 4, 99, Decimal("1.5")), "tick_by_tick", {"time": "99", "mid_point": "1.5"}),
        (m.RealTimeBar(7, 99, 1, 2, 3, 4, 5, 6, 7), "realtime_bar", {"time": "99", "wap": "6"}),
        (m.CompletedOrdersEnd(), "completed_order_end", {}),
        (m.MarketRule(26, (m.PriceIncrement(0, Decimal("0.01")),)), "market_rule", {"market_rule_id": "26"}),
        (
            m.FamilyCodes((m.FamilyCode("DU1", ""),)),
            "family_codes",
            {"codes": [{"account_id": "DU1", "family_code": ""}]},
        ),
    ],
)
def test_a_message_is_heard_in_the_words_of_recordings(message: m.Message, name: str, some: dict[str, Any]) -> None:
    [told] = hear(tuple(encode(message, 178)[4:-1].decode().split("\0")), 178)
    assert told.name == name
    assert some.items() <= told.fields.items()


def test_a_portfolio_item_is_heard_with_its_contract() -> None:
    item = m.PortfolioValue(
        con_id=3, symbol="AAPL", primary_exchange="NASDAQ", local_symbol="AAPL", trading_class="NMS", quantity=Decimal(5),
        market_price=1, market_value=5, average_cost=1, unrealized_pnl=0, realized_pnl=0, account="DU1",
    )  # fmt: skip
    [told] = hear(tuple(encode(item, 178)[4:-1].decode().split("\0")), 178)
    assert (told.name, told.fields["position"], "symbol" in told.fields) == ("update_portfolio", "5", False)
    assert (told.fields["contract"]["sec_type"], told.fields["contract"]["primary_exchange"]) == ("STK", "NASDAQ")


# How a recording is read and staged.


@pytest.mark.parametrize(
    "text",
    [
        "20260415 15:27:04 Central European Standard Time",
        "20260415 15:27:04 W. Europe Standard Time",
        "20260415  15:27:04 CET",
        "20260415 09:27:04 US/Eastern",
        "20260415 09:27:04 Eastern Standard Time",
        "20260415-13:27:04",
        "2026-04-15T13:27:04Z",
    ],
)
def test_a_time_is_read_in_every_form_that_it_is_written_in(text: str) -> None:
    assert moment_of(text) == datetime(2026, 4, 15, 13, 27, 4, tzinfo=UTC)


def recording(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "it.txt"
    path.write_text("\n".join(lines))
    return path


HANDSHAKE = 'handshake {"connection_time":"20260415 18:28:23 Central European Standard Time","client_id":"$c"}'


def told(name: str, **fields: Any) -> str:
    return f"server {name} {json.dumps(fields)}"


def test_raw_frames_split_frames_and_start_api_are_steps(tmp_path: Path) -> None:
    """Bytes of a client that speaks version 200, two server messages in one write, a frame that TCP cut."""
    cancel = base64.b64encode(frame(("4", "41", "", "", ""))).decode()
    both = base64.b64encode(frame(("49", "1", "99")) + frame(("53", "1"))).decode()
    conversation = read_recording(
        recording(
            tmp_path,
            HANDSHAKE,
            'client start_api {"client_id":"5"}',
            f"raw client {cancel}",
            f"raw server {both}",
            'split server 3,4 next_valid_id {"order_id":7}',
        )
    )
    [leg] = conversation.legs
    assert leg.client_id == 5
    assert leg.turns[1].request == r.CancelOrder(41)
    assert [one.name for one in leg.turns[1].answers] == ["current_time", "open_order_end", "next_valid_id"]
    answers = performed(tmp_path / "it.txt", "default")[1]
    assert [(one.name, one.fields["code"]) for one in answers[0][1]] == [("api_error", "10147")]


def test_a_recording_without_accounts_is_staged_with_the_usual_one(tmp_path: Path) -> None:
    path = recording(tmp_path, HANDSHAKE, "client req_current_time {}", told("current_time", time="1776270503"))
    stage = stage_of(read_recording(path), 7)
    assert (stage.settings.account, stage.order_ids) == ("DU9000001", {})
    assert stage.settings.farms == ((2104, "usfarm"), (2106, "ushmds"), (2158, "secdefnj"))
    assert differences(*performed(path, "default")) == []


OWN = {"contract": AAPL, "account": "DU1", "action": "BUY", "order_type": "LMT", "lmt_price": "10", "tif": "GTC"}


def test_orders_of_the_conversation_are_none_of_the_past(tmp_path: Path) -> None:
    """What it placed, filled or cancelled itself, and what its lists say of that, had not happened before."""
    order = {**OWN, "order_id": 41, "perm_id": "7", "quantity": "5"}
    execution = {"order_id": 41, "exec_id": "a.1", "symbol": "AAPL", "side": "BOT", "shares": "5", "price": "10"}
    path = recording(
        tmp_path,
        HANDSHAKE,
        f"client place_order {json.dumps({**OWN, 'order_id': 41, 'total_quantity': '5'})}",
        told("open_order", **order),
        told("execution_detail", req_id=-1, time="2026-04-15T16:30:00Z", **execution),
        'client req_executions {"req_id":"$e"}',
        told("execution_detail", req_id="$e", time="2026-04-15T16:30:00Z", **execution),
        'client req_completed_orders {"api_only":true}',
        told("completed_order", **OWN, quantity="0", filled="5", status="Filled", perm_id="7"),
        told("completed_order", **OWN, quantity="0", filled="5", status="Filled"),
    )
    assert past_of(read_recording(path), [1], WORDS) == []


def test_an_order_that_several_lists_tell_of_is_one(tmp_path: Path) -> None:
    """Executions first, then the open order they belong to: it works on with what is left of it."""
    execution = {"order_id": 41, "perm_id": "7", "symbol": "AAPL", "side": "BOT", "price": "10", "client_id": 4}
    path = recording(
        tmp_path,
        HANDSHAKE,
        'client req_executions {"req_id":"$e"}',
        told("execution_detail", req_id="$e", exec_id="a.1", shares="2", time="2026-04-15T15:00:00Z", **execution),
        told("execution_detail", req_id="$e", exec_id="a.2", shares="1", time="2026-04-15T15:10:00Z", **execution),
        'client req_open_orders {"scope":"all"}',
        told("open_order", **OWN, order_id=41, perm_id="7", client_id="4", quantity="5"),
        told("open_order_end"),
    )
    [past] = past_of(read_recording(path), [1], WORDS)
    assert (past.client_id, past.order.order_id, past.order.quantity, past.filled) == (4, 41, 5, 3)
    assert past.ended is None
    [_, executions, open_orders] = performed(path, "default")[1][0]
    assert [one.fields["shares"] for one in executions if one.name == "execution_detail"] == ["2", "1"]
    assert [one.name for one in open_orders] == ["open_order", "open_order_end"]


def test_a_list_of_executions_may_come_without_what_they_cost(tmp_path: Path) -> None:
    """By itself the stand-in tells each with its commissionReport; `tell_commission` leaves them out of lists, too."""
    execution = {"order_id": 4, "exec_id": "a.1", "symbol": "AAPL", "side": "BOT", "shares": "5", "price": "10"}
    path = recording(
        tmp_path,
        HANDSHAKE,
        'client req_executions {"req_id":"$e"}',
        told("execution_detail", req_id="$e", time="2026-04-15T15:00:00Z", **execution),
        told("executions_end", req_id="$e"),
    )
    assert differences(*performed(path, "default")) == ["req_executions: not recorded: commission_report"]
    assert differences(*performed(path, "recorded")) == []


def test_what_was_held_at_first_is_what_is_told_less_what_was_traded(tmp_path: Path) -> None:
    execution = {"exec_id": "a.1", "symbol": "AAPL", "side": "BOT", "shares": "5", "price": "10"}
    path = recording(
        tmp_path,
        HANDSHAKE,
        f"client place_order {json.dumps({**OWN, 'order_id': 41, 'total_quantity': '5'})}",
        told("execution_detail", req_id=-1, order_id=41, time="2026-04-15T16:30:00Z", **execution),
        "client req_positions {}",
        told("position", account="DU1", contract=AAPL, position="12", avg_cost="3"),
    )
    [holding] = stage_of(read_recording(path), 7).settings.holdings
    assert (holding.symbol, holding.quantity) == ("AAPL", 7)


# The market that a recording needs.


def test_the_market_is_one_in_which_orders_rest_and_fill_as_recorded(tmp_path: Path) -> None:
    """A buy at 300 fills and a sale at 310 rests: in the usual market, where AAPL costs 347, it is the other way round."""
    buy = {**OWN, "tif": "DAY", "lmt_price": "300"}
    sale = {**OWN, "tif": "DAY", "lmt_price": "310", "action": "SELL"}
    states = {"filled": "0", "remaining": "5"}
    path = recording(
        tmp_path,
        HANDSHAKE,
        f"client place_order {json.dumps({**buy, 'order_id': 41, 'total_quantity': '5', 'account': ''})}",
        told("open_order", order_id=41, lmt_price="300"),
        told("order_status", order_id=41, status="PreSubmitted", **states),
        told(
            "execution_detail",
            req_id=-1,
            order_id=41,
            symbol="AAPL",
            side="BOT",
            shares="5",
            time="2026-04-15T16:30:00Z",
        ),
        told("open_order", order_id=41, lmt_price="300"),
        told("order_status", order_id=41, status="Filled", filled="5", remaining="0"),
        told("commission_report"),
        f"client place_order {json.dumps({**sale, 'order_id': 42, 'total_quantity': '5', 'account': ''})}",
        told("open_order", order_id=42, lmt_price="310"),
        told("order_status", order_id=42, status="PreSubmitted", **states),
        told("open_order", order_id=42, lmt_price="310"),
        told("order_status", order_id=42, status="Submitted", **states),
    )
    conversation = read_recording(path)
    [seed, *_] = seeds_for(conversation, stage_of(conversation, 7))
    noon_ns = to_ns(conversation.legs[0].began)
    assert Market(7).quote("AAPL", noon_ns).ask > 310
    assert Market(seed).quote("AAPL", noon_ns).ask <= 300
    assert differences(*performed(path, "default")) == []


def test_an_order_that_the_market_does_not_come_to_is_filled_by_command(tmp_path: Path) -> None:
    """No market has AAPL at 2 dollars; an order that filled there all the same fills once it was waited for in vain."""
    path = recording(
        tmp_path,
        HANDSHAKE,
        f"client place_order {json.dumps({**OWN, 'lmt_price': '2', 'order_id': 41, 'total_quantity': '5', 'account': ''})}",
        told("order_status", order_id=41, status="Submitted"),
        told(
            "execution_detail",
            req_id=-1,
            order_id=41,
            symbol="AAPL",
            side="BOT",
            shares="5",
            time="2026-04-15T16:30:00Z",
        ),
    )
    conversation, answers = performed(path, "default")
    assert [one.name for one in answers[0][1]].count("execution_detail") == 1
    assert not any("missing" in one for one in differences(conversation, answers))
