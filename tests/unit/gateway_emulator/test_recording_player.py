"""What of a recording answers which message of a client: attribution, ids, order, pace and the end."""

from __future__ import annotations

from typing import Any

import pytest

from ibstream_gateway_emulator.recording.format import (
    CLOSED,
    FRAME,
    GREETING,
    HELLO,
    Event,
    Header,
    Party,
    Recording,
    RecordingError,
)
from ibstream_gateway_emulator.recording.player import Player
from ibstream_gateway_emulator.recording.script import Script, scripts_of

AAPL = ("265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
MSFT = ("272093", "MSFT", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
START = ("71", "2", "1", "")
LOGIN = [(0.2, "server", ("15", "1", "DU0000001")), (0.2, "server", ("9", "1", "5"))]

Said = tuple[float, Party, tuple[str, ...]]


def recording(*said: Any, closed_by: Party | None = None, version: int = 178, client_id: str = "1") -> Recording:
    """A connection in which this was said after the login; a third of each is when, by whom and the fields."""
    events = [
        Event(t=0.0, connection=1, by="client", kind=HELLO, fields=("v157..178",)),
        Event(t=0.1, connection=1, by="server", kind=GREETING, fields=(str(version), "20261123 10:00:00 EST")),
        Event(t=0.1, connection=1, by="client", kind=FRAME, fields=("71", "2", client_id, "")),
    ]
    events += [Event(t=t, connection=1, by=by, kind=FRAME, fields=fields) for t, by, fields in (*LOGIN, *said)]
    if closed_by is not None:
        events.append(Event(t=events[-1].t + 2, connection=1, by=closed_by, kind=CLOSED))
    header = Header(format="", version=1, recorded_at="", server_version=version)
    return Recording(header=header, events=tuple(events), skipped=0)


def script(*said: Any, **options: Any) -> Script:
    (only,) = scripts_of(recording(*said, **options), "file")
    return only


def market_data(req_id: int, contract: tuple[str, ...]) -> tuple[str, ...]:
    return ("1", "11", str(req_id), *contract, "0", "", "0", "0", "")


def place(
    order_id: int, contract: tuple[str, ...] = AAPL, *, action: str = "BUY", price: str = "100"
) -> tuple[str, ...]:
    return ("3", str(order_id), *contract, "", "", action, "10", "LMT", price, "", "DAY")


def open_order(order_id: int, client_id: int = 1, parent_id: int = 0) -> tuple[str, ...]:
    fields = ["5", str(order_id), *("" for _ in range(70))]
    fields[24], fields[57] = str(client_id), str(parent_id)
    return tuple(fields)


def order_status(order_id: int, status: str, client_id: int = 1) -> tuple[str, ...]:
    return ("3", str(order_id), status, "0", "10", "0", "77", "0", "0", str(client_id), "", "0")


def execution(order_id: int, exec_id: str, req_id: int = -1) -> tuple[str, ...]:
    fields = ["11", str(req_id), str(order_id), *("" for _ in range(30))]
    fields[14], fields[22] = exec_id, "1"
    return tuple(fields)


def commission(exec_id: str) -> tuple[str, ...]:
    return ("59", "1", exec_id, "1.0", "USD", "0", "", "")


class Play:
    """A player and everything it has sent, at a time that only moves when told to."""

    def __init__(self, of: Script, *, client_id: int = 1, speed: float = 0) -> None:
        self.now_s = 100.0
        self.player = Player(of, client_id, speed=speed, now_s=self.now_s)
        self.sent: list[tuple[str, ...]] = []
        self.collect()

    def say(self, *fields: str) -> list[tuple[str, ...]]:
        """What is sent at once after the client has said this."""
        begin = len(self.sent)
        self._keep(self.player.heard(fields, self.now_s))
        self.collect()
        return self.sent[begin:]

    def wait(self, seconds: float) -> list[tuple[str, ...]]:
        begin = len(self.sent)
        self.now_s += seconds
        self.collect()
        return self.sent[begin:]

    def collect(self) -> None:
        for one in self.player.take_due(self.now_s, 100):
            self._keep(one)

    def _keep(self, frame: bytes) -> None:
        if frame:
            self.sent.append(tuple(frame[4:-1].decode().split("\0")))


def test_a_login_is_answered_as_recorded() -> None:
    assert Play(script()).sent == [fields for _, _, fields in LOGIN]


def test_request_ids_are_the_clients_own_in_every_answer() -> None:
    play = Play(
        script(
            (1.0, "client", market_data(7, AAPL)),
            (1.1, "server", ("1", "6", "7", "1", "100.5", "3", "1")),
            (1.2, "server", ("4", "2", "7", "10167", "delayed", "")),
            (1.3, "server", ("57", "1", "7")),
        )
    )
    assert play.say(*market_data(41, AAPL)) == [
        ("1", "6", "41", "1", "100.5", "3", "1"),
        ("4", "2", "41", "10167", "delayed", ""),
        ("57", "1", "41"),
    ]


def test_order_ids_are_renamed_apart_from_request_ids_and_the_client_id_with_them() -> None:
    """The number 7 is an order and a request at once; the commission has no id at all and belongs to its execution."""
    play = Play(
        script(
            (1.0, "client", market_data(7, AAPL)),
            (2.0, "client", place(7)),
            (2.1, "server", open_order(7, parent_id=7)),
            (2.2, "server", order_status(7, "Submitted")),
            (2.3, "server", execution(7, "e1")),
            (2.4, "server", commission("e1")),
        ),
        client_id=33,
    )
    play.say(*market_data(500, AAPL))
    sent = play.say(*place(900))
    assert [fields[0] for fields in sent] == ["5", "3", "11", "59"]
    assert (sent[0][1], sent[0][57], sent[0][24]) == ("900", "900", "33")
    assert (sent[1][1], sent[1][9]) == ("900", "33")
    assert sent[2][1:3] == ("-1", "900")


def test_an_order_of_another_client_keeps_its_id() -> None:
    play = Play(
        script(
            (1.0, "client", place(7)),
            (2.0, "client", ("16", "1")),
            (2.1, "server", open_order(7, client_id=1)),
            (2.1, "server", open_order(7, client_id=4)),
            (2.1, "server", ("53", "1")),
        ),
        client_id=33,
    )
    play.say(*place(900))
    sent = play.say("16", "1")
    assert [(fields[1], fields[24]) for fields in sent[:2]] == [("900", "33"), ("7", "4")]


def test_a_commission_that_came_before_its_execution_comes_before_it_again() -> None:
    play = Play(
        script(
            (1.0, "client", place(7)),
            (1.5, "client", market_data(8, AAPL)),
            (2.0, "server", commission("e9")),
            (2.1, "server", execution(7, "e9")),
        )
    )
    assert [fields[0] for fields in play.say(*place(1))] == ["59", "11"]
    assert play.say(*market_data(2, AAPL)) == []


def test_requests_may_come_in_another_order_than_recorded() -> None:
    """ib_async asks for positions, orders and account at once; each answer follows its own question."""
    of = script(
        (1.0, "client", ("61", "1")),
        (1.0, "client", ("5", "1")),
        (1.0, "client", ("6", "2", "1", "DU0000001")),
        (1.1, "server", ("61", "3", "DU0000001", *AAPL[:11], "5", "100")),
        (1.2, "server", ("6", "2", "NetLiquidation", "5", "USD", "DU0000001")),
        (1.2, "server", open_order(3)),
        (1.3, "server", order_status(3, "Submitted")),
        (1.3, "server", ("62", "1")),
        (1.4, "server", ("54", "1", "DU0000001")),
        (1.5, "server", ("53", "1")),
    )
    play = Play(of)
    assert [fields[0] for fields in play.say("6", "2", "1", "DU0000001")] == ["6", "54"]
    assert [fields[0] for fields in play.say("5", "1")] == ["5", "3", "53"]
    assert [fields[0] for fields in play.say("61", "1")] == ["61", "62"]
    assert (play.player.strangers, play.player.unused) == (0, 0)


@pytest.mark.parametrize("asked_for", [("5", "1"), ("15", "1", "1"), ("16", "1")])
def test_an_order_is_not_told_before_it_is_placed_though_open_orders_were_asked_for(asked_for: tuple[str, ...]) -> None:
    """The end of the list is late, was left out on command, or never comes, as with reqAutoOpenOrders."""
    play = Play(
        script(
            (1.0, "client", asked_for),
            (2.0, "client", place(7)),
            (2.1, "server", open_order(7)),
            (2.2, "server", order_status(7, "Submitted")),
            (3.0, "server", ("53", "1")),
        )
    )
    assert "5" not in [fields[0] for fields in play.say(*asked_for)]
    assert [fields[:2] for fields in play.say(*place(900)) if fields[0] in ("3", "5")] == [("5", "900"), ("3", "900")]


def test_an_order_told_in_a_list_that_was_asked_for_since_belongs_to_the_list() -> None:
    """That of another client, too, though it has the number of one that is placed while the list is told."""
    play = Play(
        script(
            (1.0, "client", place(7)),
            (2.0, "client", ("16", "1")),
            (2.1, "server", open_order(7)),
            (2.2, "client", place(8)),
            (2.3, "server", open_order(8, client_id=4)),
            (2.4, "server", open_order(8)),
            (2.5, "server", ("53", "1")),
        )
    )
    assert play.say(*place(70)) == []
    assert [(fields[0], fields[1], fields[24:25]) for fields in play.say("16", "1")] == [
        ("5", "70", ("1",)),
        ("5", "8", ("4",)),
        ("53", "1", ()),
    ]
    assert [fields[:2] for fields in play.say(*place(80))] == [("5", "80")]


def test_orders_that_were_bound_to_the_client_follow_its_request_for_them() -> None:
    """Orders entered by hand come at any time after reqAutoOpenOrders, whatever lists have ended since."""
    play = Play(
        script(
            (1.0, "client", ("15", "1", "1")),
            (1.1, "client", ("5", "1")),
            (1.2, "server", ("53", "1")),
            (1.3, "client", ("49", "1")),
            (2.0, "server", ("100", "1376327563", "0", "4")),
            (2.1, "server", open_order(-5, client_id=0)),
            client_id="0",
        ),
        client_id=0,
    )
    assert [fields[0] for fields in play.say("15", "1", "1")] == ["5"]


def test_an_order_that_was_bound_is_known_by_the_clients_own_id() -> None:
    play = Play(
        script(
            (1.0, "client", place(7)),
            (1.1, "server", ("100", "1376327563", "1", "7")),
            (1.2, "server", ("100", "1376327564", "4", "8")),
        ),
        client_id=33,
    )
    assert play.say(*place(900)) == [("100", "1376327563", "33", "900"), ("100", "1376327564", "4", "8")]


def test_a_request_id_that_was_used_again_answers_each_request_under_its_own() -> None:
    """The recorded client asked twice as 5; the one at hand asks as 11 and, before the answer has come, as 12."""
    asked = [("9", "8", "5", *contract, "0", "", "") for contract in (AAPL, MSFT)]
    play = Play(
        script(
            (1.0, "client", asked[0]),
            (2.0, "server", ("10", "5", "AAPL")),
            (2.5, "server", ("52", "1", "5")),
            (3.0, "client", asked[1]),
            (4.0, "server", ("10", "5", "MSFT")),
            (4.5, "server", ("52", "1", "5")),
        ),
        speed=1,
    )
    play.wait(0.1)
    play.say(*asked[0][:2], "11", *asked[0][3:])
    play.say(*asked[1][:2], "12", *asked[1][3:])
    answers = play.wait(60)
    assert sorted(answers) == [("10", "11", "AAPL"), ("10", "12", "MSFT"), ("52", "1", "11"), ("52", "1", "12")]


def test_a_cancel_silences_the_stream_it_means_where_an_id_was_used_again() -> None:
    said: list[Said] = []
    for second, contract in ((1.0, AAPL), (20.0, MSFT)):
        said += [
            (second, "client", market_data(5, contract)),
            (second + 9, "server", ("58", "1", "5", contract[1])),
            (second + 10, "client", ("2", "2", "5")),
        ]
    play = Play(script(*said), speed=1)
    play.wait(0.1)
    play.say(*market_data(11, AAPL))
    play.say(*market_data(12, MSFT))
    play.say("2", "2", "12")
    assert play.wait(60) == [("58", "1", "11", "AAPL")]


@pytest.mark.parametrize(
    ("recorded", "asked"),
    [
        (("50", "3", "7", *AAPL, "5", "TRADES", "1", ""), ("50", "3", "7", *AAPL, "5", "MIDPOINT", "1", "")),
        (("62", "1", "7", "All", "NetLiquidation"), ("62", "1", "7", "All", "BuyingPower")),
        (("6", "2", "1", "DU0000001"), ("6", "2", "0", "DU0000001")),
        (market_data(7, AAPL), (*market_data(7, AAPL)[:17], "1", *market_data(7, AAPL)[18:])),
    ],
    ids=["kind of real-time bars", "tags of a summary", "end of account updates", "snapshot"],
)
def test_what_asks_for_something_else_is_not_taken_for_what_was_recorded(
    recorded: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    play = Play(script((1.0, "client", recorded), (1.1, "server", ("99", "1"))))
    assert [fields[0] for fields in play.say(*asked)] == ["4"]
    assert play.say(*recorded) == [("99", "1")]


def test_the_same_request_for_two_instruments_finds_each() -> None:
    play = Play(
        script(
            (1.0, "client", market_data(1, AAPL)),
            (1.0, "client", market_data(2, MSFT)),
            (1.1, "server", ("57", "1", "1")),
            (1.1, "server", ("58", "1", "2", "1")),
        )
    )
    assert play.say(*market_data(11, MSFT)) == [("58", "1", "11", "1")]
    assert play.say(*market_data(12, AAPL)) == [("57", "1", "12")]


def test_a_request_that_differs_in_details_is_still_found() -> None:
    play = Play(script((1.0, "client", place(7, price="100")), (1.1, "server", order_status(7, "Submitted"))))
    assert play.say(*place(8, price="101.5"))[0][:3] == ("3", "8", "Submitted")


@pytest.mark.parametrize(
    ("message", "req_id", "name"),
    [
        (market_data(9, MSFT), "9", "ReqMktData (1) about MSFT"),
        (place(9, action="SELL"), "9", "PlaceOrder (3) about AAPL"),
        (("49", "1"), "-1", "ReqCurrentTime (49)"),
        (("nonsense",), "-1", "message (nonsense)"),
        (("9" * 5_000,), "-1", "message (9999999999999999)"),
        (("1", "11", "9" * 5_000, *MSFT), "-1", "ReqMktData (1) about MSFT"),
    ],
)
def test_what_was_not_recorded_is_answered_with_an_error_and_counted(
    message: tuple[str, ...], req_id: str, name: str
) -> None:
    play = Play(script((1.0, "client", market_data(7, AAPL)), (1.0, "client", place(8))))
    text = f"Error processing request.-'em' : cause - {name} was not recorded, or not at this point"
    assert play.say(*message) == [("4", "2", req_id, "322", text, "")]
    assert (play.player.strangers, play.player.unused) == (1, 2)


def test_a_recorded_message_answers_once() -> None:
    play = Play(script((1.0, "client", ("49", "1")), (1.1, "server", ("49", "1", "1795446000"))))
    assert play.say("49", "1") == [("49", "1", "1795446000")]
    assert play.say("49", "1")[0][3] == "322"


def test_the_error_of_newer_servers_has_their_layout() -> None:
    play = Play(
        script(
            (1.0, "client", ("4", "7", "", "", "")), (1.1, "server", ("4", "7", "202", "gone", "", "1")), version=200
        )
    )
    assert play.say("4", "9", "", "", "") == [("4", "9", "202", "gone", "", "1")]
    assert play.say("49", "1")[0][:3] == ("4", "-1", "322")


def test_a_cancel_finds_the_order_it_means() -> None:
    play = Play(
        script(
            (1.0, "client", place(7)),
            (1.0, "client", place(8)),
            (2.0, "client", ("4", "1", "7", "")),
            (2.1, "server", order_status(7, "Cancelled")),
            (3.0, "client", ("4", "1", "8", "")),
            (3.1, "server", order_status(8, "Cancelled")),
        )
    )
    play.say(*place(70))
    play.say(*place(80))
    assert play.say("4", "1", "80", "")[0][1] == "80"
    assert play.say("4", "1", "70", "")[0][1] == "70"


def test_answers_keep_the_recorded_pace() -> None:
    said = [(1.0, "client", market_data(7, AAPL))]
    said += [(1.0 + n, "server", ("1", "6", "7", "1", str(n), "1", "1")) for n in (1, 2, 4)]
    play = Play(script(*said), speed=2)
    assert [fields[0] for fields in play.wait(0.1)] == ["15", "9"]
    assert play.say(*market_data(7, AAPL)) == []
    assert play.player.next_due_s == pytest.approx(play.now_s + 0.5)
    assert [fields[4] for fields in play.wait(0.5)] == ["1"]
    assert [fields[4] for fields in play.wait(0.5)] == ["2"]
    assert [fields[4] for fields in play.wait(1.0)] == ["4"]
    assert play.player.next_due_s is None


def test_an_early_cancel_does_not_overtake_what_the_order_has_still_to_tell() -> None:
    play = Play(
        script(
            (1.0, "client", place(7)),
            (5.0, "server", order_status(7, "Submitted")),
            (9.0, "client", ("4", "1", "7", "")),
            (9.1, "server", order_status(7, "Cancelled")),
        ),
        speed=1,
    )
    play.wait(0.1)
    play.say(*place(7))
    play.say("4", "1", "7", "")
    assert [fields[2] for fields in play.wait(4.0)] == ["Submitted", "Cancelled"]


def test_a_cancelled_stream_falls_silent() -> None:
    play = Play(
        script(
            (1.0, "client", market_data(7, AAPL)),
            (9.0, "server", ("1", "6", "7", "1", "5", "1", "1")),
            (9.5, "client", ("2", "2", "7")),
        ),
        speed=1,
    )
    play.wait(0.1)
    play.say(*market_data(70, AAPL))
    play.say("2", "2", "70")
    assert play.wait(60) == []


def test_a_connection_the_server_ended_is_ended_when_all_has_been_said() -> None:
    play = Play(script((1.0, "client", ("49", "1")), (1.5, "server", ("49", "1", "5")), closed_by="server"), speed=1)
    assert not play.player.is_over(play.now_s + 1e6)
    play.wait(0.1)
    play.say("49", "1")
    play.wait(1.0)
    assert not play.player.is_over(play.now_s)
    assert play.player.next_due_s == pytest.approx(play.now_s + 1.5)
    play.wait(1.5)
    assert play.player.is_over(play.now_s)


def test_a_connection_the_client_ended_is_kept() -> None:
    play = Play(script(closed_by="client"))
    assert not play.player.is_over(play.now_s + 1e6)


def test_what_came_unasked_comes_after_what_was_asked_before_it() -> None:
    play = Play(script((1.0, "client", ("49", "1")), (1.5, "server", ("4", "2", "-1", "1100", "lost", ""))))
    assert play.say("49", "1") == [("4", "2", "-1", "1100", "lost", "")]


def test_messages_that_are_no_text_are_sent_as_they_were() -> None:
    events = [*recording((1.0, "client", ("49", "1"))).events]
    events.append(Event(t=2.0, connection=1, by="server", kind=FRAME, raw="/wA="))
    header = Header(format="", version=1, recorded_at="", server_version=178)
    (only,) = scripts_of(Recording(header=header, events=tuple(events), skipped=0), "file")
    player = Player(only, 1, speed=0, now_s=0)
    player.take_due(0, 100)
    player.heard(("49", "1"), 0)
    assert player.take_due(0, 100) == [b"\0\0\0\x02\xff\0"]


def test_a_recording_with_binary_messages_left_out_is_refused() -> None:
    events = [*recording().events, Event(t=2.0, connection=1, by="server", kind=FRAME, withheld=20)]
    header = Header(format="", version=1, recorded_at="", server_version=203)
    with pytest.raises(RecordingError, match=r"file, connection 1: binary messages .* --max-version 178"):
        scripts_of(Recording(header=header, events=tuple(events), skipped=0), "file")


def test_a_recording_of_nobody_is_refused() -> None:
    events = recording().events[:2]
    header = Header(format="", version=1, recorded_at="", server_version=178)
    with pytest.raises(RecordingError, match="nobody logged in"):
        scripts_of(Recording(header=header, events=events, skipped=0), "file")
