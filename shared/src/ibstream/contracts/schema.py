"""The published form of the contracts: one JSON Schema per message and one AsyncAPI 3 document over all streams.

`python -m ibstream.contracts DIRECTORY` writes them; `make contracts` calls it. A test compares them with what is committed.
"""

from __future__ import annotations

import json
from inspect import cleandoc
from typing import Any

import msgspec

from ibstream.contracts.base import Message, type_of
from ibstream.contracts.docstrings import described
from ibstream.contracts.registry import STREAMS, Stream
from ibstream.contracts.system import Heartbeat

ASYNCAPI_VERSION = "3.0.0"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def message_types() -> list[type[Message]]:
    """Every message of every stream and key, once, in the registry's order."""
    found = {kind: None for stream in STREAMS for kind in stream.messages}
    return [*found, Heartbeat]


def json_schema(kind: type[Message]) -> dict[str, Any]:
    """The JSON Schema of a message, self-contained: what it holds, itself included where that recurs, stands in `$defs`."""
    schema = msgspec.json.schema(kind)
    definitions = described(schema["$defs"], [kind])
    return {"$schema": DIALECT, "$id": f"{type_of(kind)}.json", **schema, "$defs": definitions}


def asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI document: a channel per stream, a send operation per writer's side, schemas shared."""
    kinds = message_types()
    schemas, definitions = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "ibstream",
            "version": version,
            "description": "An Interactive Brokers Gateway behind Redis Streams. An entry has two fields: `type`, the "
            "message's tag, and `data`, the message as JSON. `<stream>:dead` keeps what could not be read.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {
                "host": "127.0.0.1:6390",
                "protocol": "redis",
                "description": "Any server with the command set of Redis 7.0; this is the embedded one's address.",
            }
        },
        "channels": {_key(stream): _channel(stream) for stream in STREAMS},
        "operations": {f"{_key(stream)}.send": _operation(stream) for stream in STREAMS},
        "components": {
            "messages": {type_of(kind): _message(kind, schema) for kind, schema in zip(kinds, schemas, strict=True)},
            "schemas": described(definitions, list(kinds)),
        },
    }


def documents(version: str) -> dict[str, str]:
    """All generated files: path below `contracts/` → text."""
    files = {f"schemas/{type_of(kind)}.json": json_schema(kind) for kind in message_types()}
    files["asyncapi.json"] = asyncapi(version)
    return {
        path: json.dumps(_dedented(document), indent=2, ensure_ascii=False) + "\n" for path, document in files.items()
    }


def _dedented(node: Any) -> Any:
    """Descriptions without the indentation of their docstrings, which Python 3.13 removes and earlier ones keep."""
    if isinstance(node, dict):
        return {
            key: cleandoc(value) if key == "description" and isinstance(value, str) else _dedented(value)
            for key, value in node.items()
        }
    return [_dedented(value) for value in node] if isinstance(node, list) else node


def _key(stream: Stream) -> str:
    return stream.name.replace("<", "").replace(">", "").replace(":", ".")


def _channel(stream: Stream) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": stream.name.replace("<", "{").replace(">", "}"),
        "title": stream.title,
        "description": f"Written by {stream.writers}; read by {stream.readers}."
        + (f" Consumer group `{stream.group}`." if stream.group else "")
        + (f" About {stream.keep_entries} entries are kept." if stream.keep_entries else "")
        + (f" Acknowledged entries are kept for {stream.keep_s} s." if stream.keep_s else "")
        + (f" Expires {stream.expires_s} s after the last entry." if stream.expires_s else ""),
        "messages": {type_of(kind): {"$ref": f"#/components/messages/{type_of(kind)}"} for kind in stream.messages},
    }
    if "<" in stream.name:
        channel["parameters"] = {stream.name.partition("<")[2].rstrip(">"): {"description": "see docs/streams.md"}}
    return channel


def _operation(stream: Stream) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{_key(stream)}"}, "summary": stream.title}


def _message(kind: type[Message], schema: dict[str, Any]) -> dict[str, Any]:
    summary = (kind.__doc__ or "").strip().splitlines()[0]
    return {"name": type_of(kind), "title": kind.__name__, "summary": summary, "payload": schema}
