"""The registry is the map of the bus: complete, without doubles, and named as the design says."""

from __future__ import annotations

import re

import pytest

from ibstream.contracts import registry
from ibstream.contracts.base import Message, type_of
from ibstream.contracts.registry import STREAMS, Stream
from ibstream.contracts.schema import message_types

NAMES_OF_THE_DESIGN = {
    "orders:requests",
    "orders:events",
    "portfolio:events",
    "quotes:<shard>",
    "ticks:<symbol>",
    "bars:<symbol>",
    "depth:<symbol>",
    "feed:requests",
    "feed:events",
    "data:requests",
    "data:jobs:<id>",
    "system:broker:disconnected",
    "system:broker:reconnected",
    "system:data:disconnected",
    "system:data:reconnected",
    "system:feed:disconnected",
    "system:feed:reconnected",
    "system:mode",
    "system:control",
}
"""The design's section on the bus, name by name; with it the streams of single symbols."""


def test_names_are_those_of_the_design() -> None:
    """No stream is missing, none is double, none has come by itself."""
    names = [stream.name for stream in STREAMS]
    assert len(names) == len(set(names))
    assert set(names) == NAMES_OF_THE_DESIGN


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_stream_is_documented(stream: Stream) -> None:
    """A stream says what it is, who writes and reads it, what travels on it and how long it stays."""
    assert stream.title
    assert stream.writers
    assert stream.readers
    assert stream.messages
    assert stream.keep_entries or stream.keep_s, "it would grow for ever"


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_with_a_group_is_never_trimmed_by_length(stream: Stream) -> None:
    """MAXLEN would drop entries that are still pending."""
    assert not (stream.group and stream.keep_entries)
    assert bool(stream.group) == bool(stream.keep_s)


def test_groups_are_those_of_the_design() -> None:
    """Requests are worked off by the service that owns them."""
    assert {stream.name: stream.group for stream in STREAMS if stream.group} == {
        "orders:requests": "broker",
        "data:requests": "data",
        "feed:requests": "feed",
    }


def _all_messages() -> set[type[Message]]:
    found, todo = set(), [Message]
    while todo:
        for kind in todo.pop().__subclasses__():
            if kind.__module__.startswith("ibstream.contracts."):
                found.add(kind)
                todo.append(kind)
    return found


def test_every_message_is_registered() -> None:
    """A message that stands in no stream and no key cannot be published in the contracts."""
    assert _all_messages() == set(message_types())


def test_tags_are_unique_and_formed_alike() -> None:
    """`<family>.<what>.v<version>`; two messages never share a tag."""
    tags = [type_of(kind) for kind in message_types()]
    assert len(tags) == len(set(tags))
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+\.v[1-9][0-9]*", tag) for tag in tags)


@pytest.mark.parametrize("kind", message_types(), ids=type_of)
def test_every_message_says_what_it_is(kind: type[Message]) -> None:
    """The first line of the docstring becomes the summary in the published document."""
    assert kind.__doc__
    assert kind.__doc__.strip().splitlines()[0].endswith((".", ","))


def test_named_fills_in_the_parameter() -> None:
    """A stream with a parameter becomes one of its streams; all else stays."""
    third = registry.QUOTES.named(3)
    assert third.name == "quotes:3"
    assert third.dead == "quotes:3:dead"
    assert third.messages == registry.QUOTES.messages
    assert registry.DATA_JOBS.named("job_1").name == "data:jobs:job_1"
    assert registry.TICKS.named("ES 202612").name == "ticks:ES 202612"


def test_keys_and_hashes() -> None:
    """The names of what is not a stream; other languages spell them from the documentation."""
    assert registry.heartbeat_key("feed", "0") == "system:heartbeat:feed:0"
    assert registry.HEARTBEAT_PATTERN == "system:heartbeat:*:*"
    assert registry.STATUS_KEY == "system:status"
    assert registry.last_quotes_key(3) == "quotes:last:3"
    assert registry.positions_key("DU1") == "portfolio:positions:DU1"
    assert registry.account_key("DU1") == "portfolio:account:DU1"
    assert registry.pnl_key("DU1") == "portfolio:pnl:DU1"
    assert registry.FEED_LEASES_KEY == "feed:leases"
    assert registry.FEED_LEASES_VERSION_KEY == "feed:leases:version"
    assert registry.ended_lease_key("quotes|AAPL|a") == "feed:leases:ended:quotes|AAPL|a"
    assert registry.contracts_key("DU1") == "feed:contracts:DU1"
    assert registry.feed_member_key("0") == "feed:member:0"
    assert registry.shard_lease(3) == "lease:quotes:3"
    assert registry.client_id_lease("127.0.0.1", 4002, 11) == "lease:client-id:127.0.0.1:4002:11"


def test_edges_name_their_service() -> None:
    """Each service has a stream for losing its connection and one for having it again."""
    for service in registry.SERVICES:
        lost, back = registry.EDGES[service]
        assert (lost.name, back.name) == (f"system:{service}:disconnected", f"system:{service}:reconnected")
        assert lost.writers == back.writers == service
