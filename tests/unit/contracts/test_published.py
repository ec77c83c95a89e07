"""The committed `contracts/` are what the code says, and any AsyncAPI 3 or JSON Schema tool can follow them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from ibstream.contracts.__main__ import main
from ibstream.contracts.base import type_of
from ibstream.contracts.registry import STREAMS
from ibstream.contracts.schema import documents, message_types
from ibstream.contracts.vocabulary import VOCABULARY

COMMITTED = Path(__file__).resolve().parents[3] / "contracts"


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document, parsed."""
    parsed: dict[str, Any] = json.loads(documents("1.2.3")["asyncapi.json"])
    return parsed


def test_committed_documents_are_up_to_date() -> None:
    """Compared whole, file by file; `make contracts` brings them up to date."""
    committed = {
        str(path.relative_to(COMMITTED)): path.read_text(encoding="utf-8")
        for path in [COMMITTED / "asyncapi.json", *(COMMITTED / "schemas").glob("*.json")]
    }
    generated = documents(version("ibstream"))
    assert sorted(committed) == sorted(generated)
    stale = [path for path, text in generated.items() if committed[path] != text]
    assert not stale, "run `make contracts` and commit what it writes"


def test_documents_are_the_same_on_every_python() -> None:
    """Python 3.13 dedents docstrings and earlier ones do not; the descriptions made of them have no indentation."""
    for path, text in documents("1.2.3").items():
        assert "\\n  " not in text, path


def test_writing_removes_what_is_no_more(tmp_path: Path) -> None:
    """A schema whose message is gone does not stay behind; other files are left alone."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "orders.gone.v1.json").write_text("{}")
    (tmp_path / "README.md").write_text("kept")
    assert main([str(tmp_path)]) == 0
    assert not (tmp_path / "schemas" / "orders.gone.v1.json").exists()
    assert (tmp_path / "README.md").exists()
    assert (tmp_path / "asyncapi.json").read_text() == documents(version("ibstream"))["asyncapi.json"]


def test_writing_wants_to_know_where(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a directory it says how it is used and fails."""
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below `node`."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: Any, reference: str) -> Any:
    """What a local reference points at (RFC 6901)."""
    assert reference.startswith("#/"), f"{reference} leaves the document"
    for part in reference[2:].split("/"):
        document = document[part.replace("~1", "/").replace("~0", "~")]
    return document


def test_all_references_resolve(asyncapi: dict[str, Any]) -> None:
    """No reference leads nowhere or outside, in the AsyncAPI document and in each schema."""
    found = list(references(asyncapi))
    assert found
    for reference in found:
        assert resolve(asyncapi, reference)
    for path, text in documents("1.2.3").items():
        schema = json.loads(text)
        for reference in references(schema):
            assert resolve(schema, reference), path


def test_asyncapi_has_the_structure_of_version_3(asyncapi: dict[str, Any]) -> None:
    """The keys that AsyncAPI 3.0.0 requires, and no key that it does not know, at every level we use."""
    assert asyncapi["asyncapi"] == "3.0.0"
    assert asyncapi["info"]["title"] == "ibstream"
    assert asyncapi["info"]["version"] == "1.2.3"
    assert set(asyncapi) == {
        "asyncapi",
        "info",
        "defaultContentType",
        "servers",
        "channels",
        "operations",
        "components",
    }
    for server in asyncapi["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for channel in asyncapi["channels"].values():
        assert set(channel) <= {"address", "title", "summary", "description", "messages", "parameters"}
        assert set(_placeholders(channel["address"])) == set(channel.get("parameters", {}))
    for message in asyncapi["components"]["messages"].values():
        assert set(message) <= {"name", "title", "summary", "description", "payload", "contentType", "examples"}


def _placeholders(address: str) -> list[str]:
    return [part.partition("}")[0] for part in address.split("{")[1:]]


def test_operations_point_at_channels(asyncapi: dict[str, Any]) -> None:
    """An operation sends or receives, on a channel of the document's root, as the specification demands."""
    channels = {f"#/channels/{key}" for key in asyncapi["channels"]}
    for operation in asyncapi["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert operation["channel"]["$ref"] in channels


def test_every_stream_is_a_channel_with_its_messages(asyncapi: dict[str, Any]) -> None:
    """What travels on a stream stands under its channel, and says who writes and who reads."""
    by_address = {channel["address"]: channel for channel in asyncapi["channels"].values()}
    for stream in STREAMS:
        channel = by_address.pop(stream.name.replace("<", "{").replace(">", "}"))
        assert set(channel["messages"]) == {type_of(kind) for kind in stream.messages}
        assert f"Written by {stream.writers}; read by {stream.readers}." in channel["description"]
    assert not by_address


def test_payloads_pin_their_tag(asyncapi: dict[str, Any]) -> None:
    """Each payload's schema allows one value of `type`: the message's own."""
    for kind in message_types():
        tag = type_of(kind)
        payload = asyncapi["components"]["messages"][tag]["payload"]
        schema = resolve(asyncapi, payload["$ref"])
        assert schema["properties"]["type"] == {"enum": [tag]}
        assert "type" in schema["required"]


@pytest.fixture(scope="module")
def schemas(asyncapi: dict[str, Any]) -> dict[str, Any]:
    """Every Struct and Enum by its name."""
    shared: dict[str, Any] = asyncapi["components"]["schemas"]
    return shared


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of an object but its tag, or the columns of a row."""
    columns = {str(number): column for number, column in enumerate(schema.get("prefixItems", []))}
    return columns or {name: one for name, one in schema.get("properties", {}).items() if name != "type"}


def says_what_it_is(schema: dict[str, Any]) -> bool:
    """By itself, or where its type is defined."""
    return "description" in schema or "$ref" in schema or any(map(says_what_it_is, schema.get("anyOf", [])))


def test_every_field_is_described(schemas: dict[str, Any]) -> None:
    """Nobody who reads a schema has to guess what a field or a column means, in which unit, or what null says."""
    silent = [
        f"{name}.{field}"
        for name, one in schemas.items()
        for field, it in fields(one).items()
        if not says_what_it_is(it)
    ]
    assert silent == []


def test_the_vocabulary_has_no_word_too_many(schemas: dict[str, Any]) -> None:
    """A word that no field needs any more is struck out."""
    used = {field.get("description") for one in schemas.values() for field in fields(one).values()}
    assert [word for word, text in VOCABULARY.items() if text not in used] == []


def test_what_stands_under_a_field_and_a_member_is_published(schemas: dict[str, Any]) -> None:
    """Python forgets these docstrings; the schemas keep them, in objects, rows and enumerations."""
    assert (
        schemas["SubmitOrder"]["properties"]["trailing_percent"]["description"]
        == "The same in per cent: 1.5 for 1.5 %."
    )
    assert (
        schemas["SubmitGroup"]["properties"]["group_id"]["description"] == "Sent to IBKR as ocaGroup of an OCA group."
    )
    assert schemas["Bar"]["prefixItems"][5]["description"].startswith("Shares; -1")
    assert "\n- `STP LMT`: `stop_price`, `limit_price`: a limit order" in schemas["OrderType"]["description"]
    assert "\n- `risk_price_collar`: The price is too far from the last quote." in schemas["Reason"]["description"]


def test_an_instrument_holds_legs_that_hold_instruments(asyncapi: dict[str, Any]) -> None:
    """What recurs stands once among the definitions and refers to itself, in the document and in each schema."""
    alone = json.loads(documents("1.2.3")["schemas/orders.submit.v1.json"])
    for place, root in (("#/components/schemas/", asyncapi), ("#/$defs/", alone)):
        instrument = resolve(root, f"{place}Instrument")
        leg = resolve(root, instrument["properties"]["legs"]["items"]["$ref"])
        assert leg["properties"]["instrument"]["$ref"] == f"{place}Instrument"
