"""Every message to a client is written as it always was, and ib_async reads in it what was written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit.gateway_emulator.codec_examples import EXAMPLES
from unit.gateway_emulator.ib_async_reading import decoded_by_ib_async, disagreements

from ibstream_gateway_emulator.protocol.base import Message, encode
from ibstream_gateway_emulator.protocol.table import MESSAGES, decode_message

GOLDEN = Path(__file__).parents[2] / "data" / "golden_frames.txt"
VERSIONS = (176, 177, 178)
NOT_KNOWN_TO_IB_ASYNC = {"OrderBound"}
"""ib_async's wrapper has no method for them, so that what its decoder makes of them cannot be compared."""


def line(message: Message, server_version: int) -> str:
    """`178 TickSize 2|6|9|0|300|`, the frame's four bytes of length left out."""
    text = encode(message, server_version)[4:].decode().replace("\0", "|")
    return f"{server_version} {type(message).__name__} {text}"


def golden_lines() -> list[str]:
    return [text for text in GOLDEN.read_text().splitlines() if not text.startswith("#")]


def expected_lines() -> list[str]:
    """All examples at 178, and at older versions those that differ there."""
    lines = []
    for message in EXAMPLES:
        newest = encode(message, 178)
        lines += [
            line(message, version) for version in VERSIONS if version == 178 or encode(message, version) != newest
        ]
    return lines


def test_every_message_is_written_as_in_the_golden_file() -> None:
    """Compared whole; after an intended change, the file is to be changed in the same commit."""
    assert expected_lines() == golden_lines()


def test_every_kind_of_message_has_a_golden_frame() -> None:
    """A message class without an example is a message whose bytes nobody looked at."""

    def leaves(kind: type[Message]) -> set[type[Message]]:
        below = kind.__subclasses__()
        return set().union(*map(leaves, below)) if below else {kind}

    assert {type(message) for message in EXAMPLES} == leaves(Message)
    assert {message.HEAD[0] for message in EXAMPLES} == set(MESSAGES)


@pytest.mark.parametrize("text", golden_lines())
def test_a_golden_frame_is_read_back_and_ib_async_reads_the_same(text: str) -> None:
    version, name, frame = text.split(" ", 2)
    fields = tuple(frame.split("|")[:-1])
    message = decode_message(fields, int(version))
    assert message is not None
    assert type(message).__name__ == name
    assert line(message, int(version)) == text
    calls = decoded_by_ib_async(fields, int(version))
    if name not in NOT_KNOWN_TO_IB_ASYNC:
        assert disagreements(message, calls) == []


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_what_is_written_is_read_back_as_it_was(message: Message) -> None:
    """Orders apart, which come back with every attribute told: of those the second reading equals the first."""
    fields = tuple(encode(message, 178)[4:].decode().split("\0")[:-1])
    read = decode_message(fields, 178)
    if "terms" in message.__struct_fields__:
        assert read is not None
        again = decode_message(tuple(encode(read, 178)[4:].decode().split("\0")[:-1]), 178)
        assert msgspec.to_builtins(again) == msgspec.to_builtins(read)
    else:
        assert read == message
