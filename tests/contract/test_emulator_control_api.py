"""The control API over HTTP, and the Python handle over it: the same verbs, the same answers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
from contract.ib_async_terminal import SETTINGS, connected, limit, status
from contract.wire_client import logged_in
from support import eventually, run

from ibstream.runtime.clock import SYSTEM_CLOCK
from ibstream_gateway_emulator.control import app
from ibstream_gateway_emulator.control.handle import CommandError, GatewayControl
from ibstream_gateway_emulator.control.http import serving_control
from ibstream_gateway_emulator.control.remote import RemoteControl
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import CannotListenError, GatewayServer, running_gateway


@contextlib.asynccontextmanager
async def controlled() -> AsyncIterator[tuple[GatewayServer, str]]:
    async with (
        running_gateway(SETTINGS, clock=SYSTEM_CLOCK) as gateway,
        serving_control(gateway.state, "127.0.0.1", 0) as port,
    ):
        yield gateway, f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def asking() -> AsyncIterator[tuple[GatewayServer, httpx.AsyncClient]]:
    async with controlled() as (gateway, url), httpx.AsyncClient(base_url=url, trust_env=False) as http:
        yield gateway, http


def test_one_verb_or_a_list_is_done_and_the_answer_tells_what_is_in_force() -> None:
    async def scenario() -> None:
        async with asking() as (gateway, http):
            answer = await http.post("/faults", json={"verb": "delay", "ms": 5})
            assert answer.status_code == 200
            assert answer.json()["in_force"][0]["verb"]["ms"] == 5
            await http.post("/faults", json=[{"verb": "freeze", "client_id": 3}, {"verb": "lose_link"}])
            assert gateway.state.faults.is_link_lost
            told = (await http.get("/faults")).json()
            assert [one["verb"]["verb"] for one in told["in_force"]] == ["delay", "freeze", "lose_link"]
            assert len((await http.delete("/faults/delay")).json()["in_force"]) == 2
            assert (await http.delete("/faults")).json()["in_force"] == []
            assert not gateway.state.faults.is_link_lost

    run(scenario())


def test_an_unknown_verb_is_422_with_all_that_are_known_and_none_is_done() -> None:
    async def scenario() -> None:
        async with asking() as (gateway, http):
            answer = await http.post("/faults", json=[{"verb": "lose_link"}, {"verb": "dance"}])
            assert answer.status_code == 422
            assert "no verb 'dance'" in answer.json()["detail"]
            assert answer.json()["known"] == sorted(verbs.VERBS)
            assert not gateway.state.faults.is_link_lost
            wrong = await http.delete("/faults/fill")
            assert (wrong.status_code, "delay" in wrong.json()["known"]) == (422, True)

    run(scenario())


def test_what_cannot_be_done_now_is_409_and_says_why() -> None:
    async def scenario() -> None:
        async with asking() as (_, http):
            answer = await http.post("/faults", json={"verb": "fill", "order_ref": "nobody"})
            assert answer.status_code == 409
            assert "verb 1, fill: no orders fit order_ref=nobody" in answer.json()["detail"]

    run(scenario())


def test_a_body_without_end_is_refused() -> None:
    async def scenario() -> None:
        async with asking() as (_, http):
            answer = await http.post("/faults", content=b" " * (app.BODY_BYTES_MAX + 1))
            assert answer.status_code == 413

    run(scenario())


def test_health_tells_where_the_gateway_listens_and_whether() -> None:
    async def scenario() -> None:
        async with asking() as (gateway, http), logged_in(gateway):
            told = (await http.get("/health")).json()
            assert told == {"listening": True, "port": gateway.port, "clients": 1}
            await http.post("/faults", json={"verb": "refuse_connects"})
            assert not (await http.get("/health")).json()["listening"]

    run(scenario())


def test_the_journal_knows_what_happened_whatever_clients_believe() -> None:
    async def scenario() -> None:
        async with asking() as (gateway, http), connected(gateway) as terminal:
            trade = terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            await status(trade, "Submitted")
            await http.post(
                "/faults", json=[{"verb": "lose_order"}, {"verb": "fill", "order_ref": "a", "price": "0.9"}]
            )
            terminal.place(limit("BUY", 5, 1.0, orderRef="b"))
            await status(trade, "Filled")
            await eventually(lambda: gateway.state.journal.lost_orders, what="the order to be lost")
            orders = {one["order_ref"]: one for one in (await http.get("/orders")).json()}
            assert (orders["a"]["status"], orders["a"]["outcome"], orders["a"]["average_price"]) == (
                "Filled", "taken", "0.9"
            )  # fmt: skip
            assert (orders["b"]["status"], orders["b"]["outcome"], orders["b"]["text"]) == ("", "lost", "lose_order")
            [execution] = (await http.get("/executions")).json()
            assert (execution["order_ref"], execution["price"], execution["quantity"]) == ("a", "0.9", "10")
            assert [one["client_id"] for one in (await http.get("/clients")).json()] == [1]

    run(scenario())


def test_messages_are_told_in_order_both_ways_and_can_be_narrowed() -> None:
    async def scenario() -> None:
        async with asking() as (gateway, http), logged_in(gateway) as client:
            client.writer.write(frame(("61", "1")))
            await client.receive_until("62")
            told = (await http.get("/messages")).json()
            assert [one["name"] for one in told["messages"]][:2] == ["ManagedAccounts", "NextValidId"]
            assert told["dropped"] == 0
            asked = (await http.get("/messages", params={"direction": "in"})).json()["messages"]
            assert [one["fields"] for one in asked] == [["61", "1"]]
            later = (await http.get("/messages", params={"after": asked[0]["number"], "client_id": 1})).json()
            assert [one["fields"] for one in later["messages"]] == [["62", "1"]]
            assert (await http.get("/messages", params={"name": "PositionEnd", "client_id": 2})).json()[
                "messages"
            ] == []

    run(scenario())


def test_the_journal_is_bounded_and_counts_what_it_dropped() -> None:
    async def scenario() -> None:
        settings = msgspec.structs.replace(SETTINGS, journal_messages=4)
        async with running_gateway(settings) as gateway, logged_in(gateway) as client:
            client.writer.write(frame(("61", "1")) * 10)
            for _ in range(10):
                await client.receive_until("62")
            told = await GatewayControl(gateway.state).messages()
            assert len(told.messages) == 4
            assert told.dropped == 5 + 20 - 4

    run(scenario())


def test_the_api_documents_itself() -> None:
    async def scenario() -> None:
        async with asking() as (_, http):
            document = (await http.get("/openapi.json")).json()
            schemas = document["components"]["schemas"]
            assert set(document["paths"]) == {
                "/faults", "/faults/{verb}", "/health", "/clients", "/orders", "/executions", "/messages"
            }  # fmt: skip
            named = {one["$ref"].rpartition("/")[2] for one in schemas["Verb"]["anyOf"]}
            assert {kind.__name__ for kind in verbs.VERBS.values()} == named
            assert named <= set(schemas)
            assert "milliseconds" in str(schemas["Delay"]).lower()

    run(scenario())


@pytest.mark.parametrize("is_remote", [True, False], ids=["remote", "in process"])
def test_the_handle_is_the_same_over_http_and_within_the_process(*, is_remote: bool) -> None:
    async def scenario() -> None:
        async with controlled() as (gateway, url), contextlib.AsyncExitStack() as stack:
            control = (
                await stack.enter_async_context(RemoteControl(url)) if is_remote else GatewayControl(gateway.state)
            )
            terminal = await stack.enter_async_context(connected(gateway))
            assert (await control.wait_for_client(1)).next_order_id >= 1
            await control.lose_acknowledgement(order_ref="a")
            terminal.place(limit("BUY", 10, 1.0, orderRef="a"))
            order = await control.wait_for_order(order_ref="a", status="Submitted")
            assert (order.quantity, order.acknowledged, order.outcome) == (10, False, "taken")
            await control.fill(perm_id=order.perm_id, quantity=order.remaining / 2)
            [execution] = await control.executions()
            assert (execution.perm_id, execution.quantity) == (order.perm_id, 5)
            [fault] = (await control.faults()).in_force
            assert fault.verb["verb"] == "lose_acknowledgement"
            heard = await control.messages(client_id=1, direction="in", name="3")
            assert len(heard.messages) == 1
            with pytest.raises(CommandError, match="no orders fit"):
                await control.cancel_order(order_ref="nobody")
            with pytest.raises(TimeoutError, match="order 'c'"):
                await control.wait_for_order(order_ref="c", within_s=0.05)

    run(scenario())


def test_a_control_port_in_use_is_one_clear_error() -> None:
    async def scenario() -> None:
        async with controlled() as (gateway, url):
            with pytest.raises(CannotListenError, match=r"control API on 127\.0\.0\.1:\d+: the port is in use"):
                async with serving_control(gateway.state, "127.0.0.1", int(url.rpartition(":")[2])):
                    pytest.fail("two control APIs on one port")

    run(scenario())
