"""Historical examples decode for ever. An example that was once committed is never changed; new ones are added."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from ibstream.contracts.base import Codec, encode, type_of
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionChanged, SubscriptionOutcome
from ibstream.contracts.instrument import Instrument, SecurityType
from ibstream.contracts.orders import AlgoName, GroupKind, OrderType, SubmitGroup, SubmitOrder, TimeInForce
from ibstream.contracts.quotes import Quality, QuoteBatch
from ibstream.contracts.registry import STREAMS
from ibstream.contracts.schema import message_types

EXAMPLES = Path(__file__).resolve().parents[3] / "contracts" / "examples"
FILES = sorted(EXAMPLES.glob("*/*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_decodes_and_encodes_to_an_equal_message(file: Path) -> None:
    """Each example is read by the codec of every stream that carries its type, and survives being written again."""
    tag, data = file.parent.name.encode(), file.read_bytes()
    codecs = [stream.codec() for stream in STREAMS if stream.codec().knows(tag)] or [Codec(*message_types())]
    for codec in codecs:
        message = codec.decode(tag, data)
        assert codec.decode(tag, encode(message)) == message


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_nothing_of_it_is_lost(file: Path) -> None:
    """Every field that the example gives is a field that is still known, with an equal value after a round trip."""
    given = msgspec.json.decode(file.read_bytes())
    codec = Codec(*message_types())
    tag = file.parent.name.encode()
    message = codec.decode(tag, file.read_bytes())
    known = msgspec.json.decode(encode(message))
    assert set(given) <= set(known)
    assert codec.decode(tag, msgspec.json.encode({**known, **given})) == message


@pytest.mark.parametrize("kind", message_types(), ids=type_of)
def test_every_type_has_an_example(kind: type) -> None:
    """A new message comes with an example of what it looks like."""
    assert list((EXAMPLES / type_of(kind)).glob("*.json"))


def test_no_example_of_a_type_that_is_gone() -> None:
    """A type is never removed while entries of it may lie in a stream; if one must go, its examples go with it."""
    assert {folder.name for folder in EXAMPLES.iterdir()} == {type_of(kind) for kind in message_types()}


def examples(kind: type[Any]) -> list[Any]:
    """Every example of one type, decoded."""
    codec, tag = Codec(kind), type_of(kind)
    return [codec.decode(tag.encode(), file.read_bytes()) for file in FILES if file.parent.name == tag]


def instruments(instrument: Instrument) -> list[Instrument]:
    """The instrument and those of its legs."""
    return [instrument, *(leg.instrument for leg in instrument.legs)]


@pytest.mark.parametrize(
    ("every", "found"),
    [
        (OrderType, {order.order_type for order in examples(SubmitOrder)}),
        (TimeInForce, {order.time_in_force for order in examples(SubmitOrder)}),
        (AlgoName, {order.algo.name for order in examples(SubmitOrder) if order.algo}),
        (GroupKind, {group.kind for group in examples(SubmitGroup)}),
        (DataKind, {lease.data for lease in examples(Subscribe)}),
        (SubscriptionOutcome, {told.outcome for told in examples(SubscriptionChanged)}),
        (Quality, {row.quality for batch in examples(QuoteBatch) for row in batch.rows}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_choice_has_an_example(every: type[StrEnum], found: set[StrEnum]) -> None:
    """Whoever writes requests by hand finds an order of each type, time in force and algorithm, a group
    of each kind, a lease on each kind of data; whoever reads finds each outcome and quality."""
    assert set(every) == found


def test_every_kind_of_instrument_has_an_example() -> None:
    """Stocks, pairs, futures, options and combos, with what each of them needs; of indices there are no orders, but leases."""
    orders = examples(SubmitOrder)
    assert {order.instrument.security_type for order in orders} == set(get_args(SecurityType)) - {"IND"}
    leased = {lease.instrument.security_type for lease in examples(Subscribe)}
    assert leased == set(get_args(SecurityType)) - {"BAG"}
    assert {one.security_type for order in orders for one in instruments(order.instrument)[1:]} >= {"STK", "OPT"}


def test_examples_are_no_two_alike() -> None:
    """Each shows something of its own; in particular each order has an id of its own."""
    orders = [*examples(SubmitOrder), *(order for group in examples(SubmitGroup) for order in group.orders)]
    ids = [order.client_order_id for order in orders]
    assert len(ids) == len(set(ids))
