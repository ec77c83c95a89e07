"""What cannot be read is told apart: a type nobody knows is skipped, data that does not fit is an error with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ibstream.contracts.base import Codec, UndecodableError, UnknownTypeError, encode, type_of
from ibstream.contracts.orders import CancelOrder, SubmitOrder
from ibstream.contracts.quotes import QuoteBatch
from ibstream.contracts.registry import FEED_REQUESTS, ORDER_REQUESTS, QUOTES

SUBMIT: dict[str, Any] = {
    "type": "orders.submit.v1",
    "client_order_id": "a-1",
    "strategy": "momentum",
    "instrument": {"symbol": "AAPL"},
    "side": "BUY",
    "quantity": "100",
    "requested_at": "2026-11-23T14:30:00Z",
}

GROUP: dict[str, Any] = {
    "type": "orders.submit_group.v1",
    "group_id": "g-1",
    "kind": "oca",
    "orders": [SUBMIT, SUBMIT],
    "requested_at": "2026-11-23T14:30:00Z",
}
LEG: dict[str, Any] = {"instrument": {"symbol": "AAPL"}, "side": "BUY"}


def decode(**changes: Any) -> Any:
    """A submit with some fields changed, as a reader sees it."""
    body = msgspec.json.encode({**SUBMIT, **changes})
    return ORDER_REQUESTS.codec().decode(b"orders.submit.v1", body)


def test_a_valid_submit_is_read() -> None:
    """The message that the cases below break is a valid one."""
    assert decode().client_order_id == "a-1"


@pytest.mark.parametrize("tag", [b"orders.submit.v2", b"orders.status.v1", b"", b"\xff"], ids=repr)
def test_unknown_type(tag: bytes) -> None:
    """A tag that is not one of the stream's own is unknown, even if another stream has it."""
    codec = ORDER_REQUESTS.codec()
    assert not codec.knows(tag)
    with pytest.raises(UnknownTypeError) as caught:
        codec.decode(tag, b"{}")
    assert str(caught.value) == tag.decode(errors="replace")


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b'{"type":1}'], ids=repr)
def test_data_that_is_no_message(data: bytes) -> None:
    """Empty, truncated, of another shape or no UTF-8: undecodable, whatever the type."""
    codec = ORDER_REQUESTS.codec()
    for kind in ORDER_REQUESTS.messages:
        with pytest.raises(UndecodableError):
            codec.decode(type_of(kind).encode(), data)


def test_every_truncation_is_undecodable() -> None:
    """No prefix of a message is taken for a message."""
    codec, whole = ORDER_REQUESTS.codec(), msgspec.json.encode(SUBMIT)
    for length in range(len(whole)):
        with pytest.raises(UndecodableError):
            codec.decode(b"orders.submit.v1", whole[:length])


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"quantity": True}, r"\$\.quantity"),
        ({"quantity": "ten"}, r"\$\.quantity"),
        ({"side": "HOLD"}, r"\$\.side"),
        ({"order_type": "STOP"}, r"\$\.order_type"),
        ({"stop_price": "low"}, r"\$\.stop_price"),
        ({"time_in_force": "GTX"}, r"\$\.time_in_force"),
        ({"good_till": "2026-12-18T21:00:00"}, r"timezone.*\$\.good_till"),
        ({"algo": {"name": "Dark"}}, r"\$\.algo\.name"),
        ({"algo": {"name": "Twap", "parameters": {"startTime": 9}}}, r"\$\.algo\.parameters"),
        ({"algo": {"name": "Twap", "parameters": {"startTime": "9" * 65}}}, r"\$\.algo\.parameters"),
        ({"instrument": "AAPL"}, r"\$\.instrument"),
        ({"instrument": {"symbol": "aapl"}}, r"\$\.instrument\.symbol"),
        ({"instrument": {"symbol": "BRK B"}}, r"\$\.instrument\.symbol"),
        ({"instrument": {"symbol": "A" * 33}}, r"\$\.instrument\.symbol"),
        ({"instrument": {"symbol": "AAPL\n"}}, r"\$\.instrument\.symbol"),
        ({"instrument": {"symbol": "AAPL", "currency": "usd"}}, r"\$\.instrument\.currency"),
        ({"instrument": {"symbol": "AAPL", "security_type": "WAR"}}, r"\$\.instrument\.security_type"),
        ({"instrument": {"symbol": "ES", "expiry": "2026-12"}}, r"\$\.instrument\.expiry"),
        ({"instrument": {"symbol": "ES", "expiry": "202612\n"}}, r"\$\.instrument\.expiry"),
        ({"instrument": {"symbol": "AAPL", "strike": "high"}}, r"\$\.instrument\.strike"),
        ({"instrument": {"symbol": "AAPL", "right": "CALL"}}, r"\$\.instrument\.right"),
        ({"instrument": {"symbol": "SI", "multiplier": "5k"}}, r"\$\.instrument\.multiplier"),
        ({"instrument": {"symbol": "SI", "trading_class": "S" * 33}}, r"\$\.instrument\.trading_class"),
        ({"instrument": {"symbol": "AAPL", "legs": [LEG] * 9}}, r"length <= 8.*\$\.instrument\.legs"),
        ({"instrument": {"symbol": "AAPL", "legs": [{**LEG, "ratio": 0}]}}, r"\$\.instrument\.legs\[0\]\.ratio"),
        ({"client_order_id": ""}, r"\$\.client_order_id"),
        ({"client_order_id": "a" * 33}, r"\$\.client_order_id"),
        ({"client_order_id": "a b"}, r"\$\.client_order_id"),
        ({"client_order_id": "a-1\n"}, r"\$\.client_order_id"),
        ({"client_order_id": None}, r"\$\.client_order_id"),
        ({"strategy": "a/b"}, r"\$\.strategy"),
        ({"outside_regular_hours": "yes"}, r"\$\.outside_regular_hours"),
        ({"requested_at": "2026-11-23T14:30:00"}, r"timezone.*\$\.requested_at"),
        ({"requested_at": "yesterday"}, r"\$\.requested_at"),
        ({"valid_until": "2026-11-23T14:30:00"}, r"timezone.*\$\.valid_until"),
        ({"type": "orders.cancel.v1"}, r"\$\.type"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_field_that_does_not_fit_is_named(changes: dict[str, Any], where: str) -> None:
    """Wrong type, broken pattern, naive time, another tag inside than outside: the error says where."""
    with pytest.raises(UndecodableError, match=where):
        decode(**changes)


@pytest.mark.parametrize("field", [name for name in SUBMIT if name != "type"])
def test_a_missing_field_is_named(field: str) -> None:
    """A required field that is missing makes the message undecodable, and the error names it."""
    body = {name: value for name, value in SUBMIT.items() if name != field}
    with pytest.raises(UndecodableError, match=field):
        ORDER_REQUESTS.codec().decode(b"orders.submit.v1", msgspec.json.encode(body))


@pytest.mark.parametrize("count", [0, 1, 11])
def test_a_group_has_two_orders_to_ten(count: int) -> None:
    """One order is no group, and more than ten are refused before any of them is looked at."""
    group = {**GROUP, "orders": [SUBMIT] * count}
    with pytest.raises(UndecodableError, match=r"length.*\$\.orders"):
        ORDER_REQUESTS.codec().decode(b"orders.submit_group.v1", msgspec.json.encode(group))


def test_an_order_within_a_request_is_checked_like_one_of_its_own() -> None:
    """In a group and in a what-if, the error leads to the field of the order."""
    bad = {**SUBMIT, "side": "HOLD"}
    group = {**GROUP, "orders": [SUBMIT, bad]}
    with pytest.raises(UndecodableError, match=r"\$\.orders\[1\]\.side"):
        ORDER_REQUESTS.codec().decode(b"orders.submit_group.v1", msgspec.json.encode(group))
    asked = {"type": "orders.what_if.v1", "order": bad, "requested_at": SUBMIT["requested_at"]}
    with pytest.raises(UndecodableError, match=r"\$\.order\.side"):
        ORDER_REQUESTS.codec().decode(b"orders.what_if.v1", msgspec.json.encode(asked))


@pytest.mark.parametrize("depth", [2, 300, 100_000])
def test_a_combo_of_combos_is_undecodable(depth: int) -> None:
    """However deep somebody nests legs: the reader neither takes it, nor fails in a way that it does not expect."""
    inner = '{"symbol":"AAPL","legs":[{"side":"BUY","instrument":' * depth + '{"symbol":"AAPL"}' + "}]}" * depth
    body = msgspec.json.encode({**SUBMIT, "instrument": msgspec.Raw(inner.encode())})
    with pytest.raises(UndecodableError, match=r"legs itself|recursion"):
        ORDER_REQUESTS.codec().decode(b"orders.submit.v1", body)


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.update(seq=0),
        lambda batch: batch.update(shard=-1),
        lambda batch: batch.update(published_at=-1),
        lambda batch: batch.update(rows=[["AAPL", "271.5"]]),
        lambda batch: batch.update(rows=[["AAPL", 271.5, 271.6, 271.5, 1, 1, 1, 1, 1, "tomorrow"]]),
        lambda batch: batch.update(rows=[["AAPL", 271.5, 271.6, 271.5, 1, 1, 1, 1, 1, "live", "no"]]),
        lambda batch: batch.update(rows=[[]]),
    ],
)
def test_a_broken_batch_of_quotes_is_undecodable(change: Callable[[dict[str, Any]], None]) -> None:
    """Counters start at 1, times are not negative, and a row has its columns in order."""
    batch = {"type": "quotes.batch.v1", "shard": 0, "epoch": 1, "seq": 1, "published_at": 1, "rows": [["AAPL"]]}
    codec = QUOTES.codec()
    assert isinstance(codec.decode(b"quotes.batch.v1", msgspec.json.encode(batch)), QuoteBatch)
    change(batch)
    with pytest.raises(UndecodableError):
        codec.decode(b"quotes.batch.v1", msgspec.json.encode(batch))


def test_later_columns_do_not_disturb_older_readers() -> None:
    """Columns are only ever appended to a row; a reader that does not know them ignores them."""
    row = ["AAPL", 1.0, 2.0, 1.5, 1, 1, 1, 1, 1, "live", False, "a column of next year"]
    batch = {"type": "quotes.batch.v1", "shard": 0, "epoch": 1, "seq": 1, "published_at": 1, "rows": [row]}
    message = QUOTES.codec().decode(b"quotes.batch.v1", msgspec.json.encode(batch))
    assert isinstance(message, QuoteBatch)
    assert message.rows[0].ask == 2.0


def test_earlier_columns_are_enough() -> None:
    """A row of a feed that did not know of halts yet says nothing of any."""
    row = ["AAPL", 1.0, 2.0, 1.5, 1, 1, 1, 1, 1, "live"]
    batch = {"type": "quotes.batch.v1", "shard": 0, "epoch": 1, "seq": 1, "published_at": 1, "rows": [row]}
    message = QUOTES.codec().decode(b"quotes.batch.v1", msgspec.json.encode(batch))
    assert isinstance(message, QuoteBatch)
    assert not message.rows[0].halted


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"consumer": ""}, r"\$\.consumer"),
        ({"consumer": "a|b"}, r"\$\.consumer"),
        ({"consumer": "a" * 65}, r"\$\.consumer"),
        ({"instrument": {"symbol": "aapl"}}, r"\$\.instrument\.symbol"),
        ({"data": "news"}, r"\$\.data"),
        ({"ttl_s": 0}, r"\$\.ttl_s"),
        ({"ttl_s": 86_401}, r"\$\.ttl_s"),
        ({"priority": 0}, r"\$\.priority"),
        ({"priority": 10}, r"\$\.priority"),
        ({"priority": 1.5}, r"\$\.priority"),
        ({"requested_at": "2026-11-23T14:30:00"}, r"timezone.*\$\.requested_at"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_field_of_a_lease_that_does_not_fit_is_named(changes: dict[str, Any], where: str) -> None:
    """A lease lasts a day at most, and a consumer's name is part of a key."""
    lease = {
        "type": "feed.subscribe.v1",
        "consumer": "a",
        "instrument": {"symbol": "AAPL"},
        "requested_at": SUBMIT["requested_at"],
    }
    assert FEED_REQUESTS.codec().decode(b"feed.subscribe.v1", msgspec.json.encode(lease))
    with pytest.raises(UndecodableError, match=where):
        FEED_REQUESTS.codec().decode(b"feed.subscribe.v1", msgspec.json.encode({**lease, **changes}))


def test_a_codec_decodes_to_the_type_of_the_tag() -> None:
    """One stream's messages do not shadow each other."""
    codec = Codec(SubmitOrder, CancelOrder)
    cancel = CancelOrder(client_order_id="a-1", requested_at=decode().requested_at)
    assert codec.decode(b"orders.cancel.v1", encode(cancel)) == cancel
    assert isinstance(codec.decode(b"orders.submit.v1", msgspec.json.encode(SUBMIT)), SubmitOrder)
