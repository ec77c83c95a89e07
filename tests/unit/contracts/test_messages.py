"""Every message survives the bus: what is encoded is decoded to an equal message, whatever its values."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from ibstream.contracts.base import Codec, Message, encode, type_of
from ibstream.contracts.schema import message_types

MESSAGES = message_types()


def values(of: Any) -> st.SearchStrategy[Any]:
    """Valid values of a type as msgspec describes it: constraints included, NaN excluded (it does not travel)."""
    return STRATEGIES[type(of)](of)


def _texts(of: inspect.StrType) -> st.SearchStrategy[str]:
    if of.pattern:
        return st.from_regex(of.pattern).filter(lambda text: len(text) <= (of.max_length or 4096))
    return st.text(min_size=of.min_length or 0, max_size=min(of.max_length or 40, 40))


def _floats(of: inspect.FloatType) -> st.SearchStrategy[float]:
    low = of.ge if of.ge is not None else of.gt
    return st.floats(low, of.le, allow_nan=False, allow_infinity=False, exclude_min=of.gt is not None)


_open: list[type] = []
"""The Structs whose strategies are being made, outermost first."""


def _structs(of: inspect.StructType) -> st.SearchStrategy[Any]:
    _open.append(of.cls)
    fields = {field.name: values(field.type) for field in of.fields}
    _open.pop()
    return st.fixed_dictionaries(fields).map(lambda x: of.cls(**x))


def _tuples(of: inspect.VarTupleType) -> st.SearchStrategy[Any]:
    """A Struct that holds others of its kind does so once: a combo's legs are no combos of combos."""
    if isinstance(of.item_type, inspect.StructType) and of.item_type.cls in _open:
        return st.just(())
    low = of.min_length or 0
    return st.lists(values(of.item_type), min_size=low, max_size=max(low, 3)).map(tuple)


STRATEGIES: dict[type, Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.StrType: _texts,
    inspect.FloatType: _floats,
    inspect.StructType: _structs,
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: lambda of: st.integers(
        of.ge if of.ge is not None else -(2**63), of.le if of.le is not None else 2**63 - 1
    ),
    inspect.DecimalType: lambda _: st.decimals(allow_nan=False, allow_infinity=False),
    inspect.DateTimeType: lambda _: st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    inspect.EnumType: lambda of: st.sampled_from(list(of.cls)),
    inspect.LiteralType: lambda of: st.sampled_from(of.values),
    inspect.NoneType: lambda _: st.none(),
    inspect.UnionType: lambda of: st.one_of([values(one) for one in of.types]),
    inspect.ListType: lambda of: st.lists(values(of.item_type), max_size=3),
    inspect.VarTupleType: _tuples,
    inspect.DictType: lambda of: st.dictionaries(values(of.key_type), values(of.value_type), max_size=3),
    inspect.Metadata: lambda of: values(of.type),
}


@pytest.mark.parametrize("kind", MESSAGES, ids=type_of)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_round_trip(kind: type[Message], data: st.DataObject) -> None:
    """Whatever its values, a message is equal to what is decoded from its encoding, and carries its tag."""
    message = data.draw(values(inspect.type_info(kind)))
    encoded = encode(message)
    assert Codec(kind).decode(type_of(kind).encode(), encoded) == message
    assert msgspec.json.decode(encoded)["type"] == type_of(message) == type_of(kind)


@pytest.mark.parametrize("kind", MESSAGES, ids=type_of)
def test_messages_are_frozen_keyword_only_and_versioned(kind: type[Message]) -> None:
    """A message cannot be changed after it was made, names its fields, and its tag ends in a version."""
    config = kind.__struct_config__
    assert config.frozen
    assert not config.array_like
    assert config.tag_field == "type"
    assert type_of(kind).rpartition(".v")[2].isdecimal()
    with pytest.raises(TypeError):
        kind("positional")


@pytest.mark.parametrize("kind", MESSAGES, ids=type_of)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_later_fields_do_not_disturb_older_readers(kind: type[Message], data: st.DataObject) -> None:
    """A reader ignores a field that a newer writer added within the version."""
    message = data.draw(values(inspect.type_info(kind)))
    grown = {**msgspec.json.decode(encode(message)), "a_field_of_next_year": 1}
    assert Codec(kind).decode(type_of(kind).encode(), msgspec.json.encode(grown)) == message
