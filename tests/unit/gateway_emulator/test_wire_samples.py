"""What real Gateways wrote is read by ib_async and by our codec to the same values, field by field."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.gateway_emulator.ib_async_reading import decoded_by_ib_async, disagreements

from ibstream_gateway_emulator.protocol.base import encode
from ibstream_gateway_emulator.protocol.table import decode_message

SAMPLES = Path(__file__).parents[2] / "data" / "wire-samples.txt"
"""Each line is a message of a Gateway of some version between 166 and 176; which it was, its fields tell."""
COMMISSION_REPORT, SYMBOL_SAMPLES, OPEN_ORDER, COMPLETED_ORDER = "59", "79", "5", "101"
FIELDS_BEFORE_PEG_BEST = 132


def samples() -> list[str]:
    return [line for line in SAMPLES.read_text().splitlines() if line and not line.startswith("#")]


def version_of(fields: tuple[str, ...]) -> int:
    """A server version at which the message was laid out like this: 170 brought PEG BEST's five fields to orders."""
    if fields[0] == COMPLETED_ORDER or (fields[0] == OPEN_ORDER and len(fields) == FIELDS_BEFORE_PEG_BEST):
        return 169
    return 175


def fields_of(line: str) -> tuple[str, ...]:
    """The fields; one recording ends with an empty one more, which ib_async would not take."""
    fields = tuple(line.split("|")[:-1])
    return fields[:-1] if fields[0] == COMMISSION_REPORT else fields


@pytest.mark.parametrize("line", samples())
def test_ib_async_and_the_codec_read_the_same(line: str) -> None:
    fields = fields_of(line)
    version = version_of(fields)
    message = decode_message(fields, version)
    assert message is not None
    assert disagreements(message, decoded_by_ib_async(fields, version)) == []


@pytest.mark.parametrize("line", samples())
def test_what_was_read_is_written_as_the_gateway_wrote_it(line: str) -> None:
    """Byte for byte, but for an empty field at the end of some recordings that no version has."""
    fields = fields_of(line)
    version = version_of(fields)
    message = decode_message(fields, version)
    assert message is not None
    written = tuple(encode(message, version)[4:].decode().split("\0")[:-1])
    assert written == fields[: len(written)]
    assert fields[len(written) :] in ((), ("",))


def test_all_kinds_of_samples_are_there() -> None:
    assert {line.split("|")[0] for line in samples()} == {
        "3",
        "4",
        "5",
        "10",
        "11",
        "17",
        "50",
        "59",
        "61",
        "79",
        "101",
    }
