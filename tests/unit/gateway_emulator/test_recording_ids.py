"""Where ids stand in frames: the replay's short table agrees with the layouts of all messages."""

from __future__ import annotations

import pytest
from unit.gateway_emulator.codec_examples import EXAMPLES

from ibstream_gateway_emulator.protocol.base import Message, encode
from ibstream_gateway_emulator.protocol.framing import split_fields
from ibstream_gateway_emulator.protocol.messages.session import NextValidId
from ibstream_gateway_emulator.protocol.requests import REQUESTS
from ibstream_gateway_emulator.recording import ids

SPACES = {"req_id": "request", "order_id": "order", "client_id": "client", "rule_id": "rule"}
NO_ID = -1
NAMING = [message for message in EXAMPLES if not isinstance(message, NextValidId)]
"""All but the next valid order id, which is a promise and names no order."""


@pytest.mark.parametrize("version", [176, 178])
@pytest.mark.parametrize("message", NAMING, ids=lambda message: type(message).__name__)
def test_every_id_in_a_message_of_the_server_is_found(message: Message, version: int) -> None:
    fields = split_fields(encode(message, version)[4:])
    found = {(slot.space, ids.value(fields, slot)) for slot in ids.told(fields, version)}
    named = {(space, getattr(message, name, NO_ID)) for name, space in SPACES.items()}
    assert {(space, number) for space, number in named if number != NO_ID} <= found


def test_the_next_valid_id_is_no_order() -> None:
    assert ids.told(("9", "1", "7"), 178) == ()


def test_an_order_bound_names_its_order_and_its_client() -> None:
    """The permId before them stays as it was recorded."""
    assert ids.told(("100", "1376327563", "3", "7"), 178) == (ids.Slot(3, "order"), ids.Slot(2, "client"))


@pytest.mark.parametrize("kind", REQUESTS)
def test_every_id_in_a_request_is_found(kind: int) -> None:
    request = REQUESTS[kind]
    fields = (str(kind), *(str(100 + index) for index in range(40)))
    slot = ids.asked(fields, 178)
    first = request.__struct_fields__[0] if request.__struct_fields__ else ""
    assert (None if slot is None else (slot.at, slot.space)) == (
        (len(request.HEAD), SPACES[first]) if first in SPACES and kind != ids.START_API else None
    )


@pytest.mark.parametrize("text", ["", "x", "1_1", "٣", " 49 ", "+49", "9" * 5_000])
def test_what_is_no_plain_number_is_no_id(text: str) -> None:
    """Python would take some of these for numbers, and raise over the last."""
    assert ids.kind_of((text,)) == -1
    assert ids.asked(("1", "11", text), 178) is None
    assert ids.told(("57", "1", text), 178) == ()
