"""Historical examples decode for ever. An example that was once committed is never changed; new ones are added."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ibstream.contracts.base import Codec, encode, type_of
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
