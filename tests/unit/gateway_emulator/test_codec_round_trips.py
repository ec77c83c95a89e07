"""Whatever is written is read back: every message and every request, at every version spoken."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.gateway_emulator.codec_strategies import instances, messages, numbers, placed_orders, texts

from ibstream_gateway_emulator.protocol.base import Message, Request, encode
from ibstream_gateway_emulator.protocol.fields import Contract11
from ibstream_gateway_emulator.protocol.framing import FrameReader, FrameSplitter, split_fields
from ibstream_gateway_emulator.protocol.messages import (
    TickByTick,
    TickByTickBidAsk,
    TickByTickMidpoint,
    TickByTickTrade,
)
from ibstream_gateway_emulator.protocol.open_order import CompletedOrder, OpenOrder, OrderState, OrderTerms
from ibstream_gateway_emulator.protocol.place_order import PlaceOrder
from ibstream_gateway_emulator.protocol.requests import REQUESTS, read_request, write_request
from ibstream_gateway_emulator.protocol.table import MESSAGES, decode_message

VERSIONS = (176, 177, 178)
WITH_ORDERS = (OpenOrder, CompletedOrder)
KINDS = [kind for kind in MESSAGES.values() if kind not in (*WITH_ORDERS, TickByTick)]
KINDS += [TickByTickTrade, TickByTickBidAsk, TickByTickMidpoint]
versions = st.sampled_from(VERSIONS)


def fields_in(frame: bytes) -> tuple[str, ...]:
    """The fields of one whole frame, by way of the splitter."""
    [payload] = FrameSplitter().feed(frame)
    return split_fields(payload)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_message_is_read_back(kind: type[Message], data: st.DataObject) -> None:
    version = data.draw(versions)
    message = data.draw(messages(kind, version))
    fields = fields_in(encode(message, version))
    assert decode_message(fields, version) == message
    assert fields[: len(kind.HEAD)] == tuple(map(str, kind.HEAD))


@pytest.mark.parametrize(
    "kind", [kind for kind in REQUESTS.values() if kind is not PlaceOrder], ids=lambda k: k.__name__
)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_request_is_read_back(kind: type[Request], data: st.DataObject) -> None:
    version = data.draw(versions)
    request = data.draw(instances(kind, version))
    assert read_request(fields_in(write_request(request, version)), version) == request


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_order_is_read_back_with_all_its_attributes(data: st.DataObject) -> None:
    version = data.draw(versions)
    order = data.draw(placed_orders(version))
    assert read_request(fields_in(write_request(order, version)), version) == order


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_open_order_tells_back_every_attribute_that_says_something(data: st.DataObject) -> None:
    """Of all that openOrder has a field for. What says nothing comes back as Gateways write it for a plain order."""
    version = data.draw(versions)
    order = data.draw(placed_orders(version))
    message = OpenOrder(
        order_id=order.order_id,
        client_id=3,
        terms=data.draw(terms_of(order)),
        state=data.draw(states),
        what_if=order.what_if,
    )
    read = decode_message(fields_in(encode(message, version)), version)
    assert isinstance(read, OpenOrder)
    assert read.state == message.state
    assert changed(order, read.terms.attributes) == {}


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_completed_order_tells_back_every_attribute_that_says_something(data: st.DataObject) -> None:
    version = data.draw(versions)
    order = data.draw(placed_orders(version))
    message = CompletedOrder(
        terms=data.draw(terms_of(order)),
        status=data.draw(texts),
        filled=data.draw(numbers),
        completed_time=data.draw(texts),
        completed_status=data.draw(texts),
    )
    read = decode_message(fields_in(encode(message, version)), version)
    assert isinstance(read, CompletedOrder)
    assert (read.filled, read.completed_status) == (message.filled, message.completed_status)
    assert changed(order, read.terms.attributes) == {}


figures = st.none() | numbers
changes = st.none() | st.tuples(numbers, figures, figures)
states = st.builds(
    OrderState,
    status=texts,
    initial_margin=changes,
    maintenance_margin=changes,
    equity_with_loan=changes,
    commission=figures,
    min_commission=figures,
    max_commission=figures,
    currency=texts,
    warning=texts,
)


def terms_of(order: PlaceOrder) -> st.SearchStrategy[OrderTerms]:
    """The order as it is told back, of another contract: that it comes back is tested of messages."""
    return st.builds(
        OrderTerms,
        contract=instances(Contract11, 178),
        action=st.just(order.action),
        quantity=numbers,
        order_type=st.just(order.order_type),
        limit_price=st.just(order.limit_price),
        aux_price=st.just(order.aux_price),
        tif=st.just(order.tif),
        account=st.just(order.attributes["account"]),
        perm_id=st.integers(0, 2**31 - 2),
        attributes=st.just(order.attributes),
    )


NOT_TOLD_ALIKE = {"openClose", "deltaNeutralOrderType", "sharesAllocation"}
"""Told in another form: the `O` of every order is left out, `None` for none, and what the Gateway makes of its own."""


def changed(order: PlaceOrder, told: dict[str, Any]) -> dict[str, Any]:
    """Attributes that say something and came back otherwise."""
    said = {name: value for name, value in order.attributes.items() if value not in (None, "", 0, False, ())}
    return {
        name: (value, told[name])
        for name, value in said.items()
        if name in told and name not in NOT_TOLD_ALIKE and told[name] != value
    }


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_conversation_cut_anywhere_is_read_as_it_was_written(data: st.DataObject) -> None:
    """Requests of any kinds, glued together and cut at random, through the reader that a connection uses."""
    kinds = [kind for kind in REQUESTS.values() if kind is not PlaceOrder]
    requests = [data.draw(instances(kind, 178)) for kind in data.draw(st.lists(st.sampled_from(kinds), max_size=4))]
    stream = b"API\0\0\0\0\x09v157..178" + b"".join(write_request(request, 178) for request in requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = FrameReader()
    edges = zip([0, *cuts], [*cuts, len(stream)], strict=True)
    _, *frames = [inbound for start, end in edges for inbound in reader.feed(stream[start:end])]
    assert [read_request(msgspec.structs.astuple(frame)[0], 178) for frame in frames] == requests
