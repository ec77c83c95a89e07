"""The fixture that other people's tests use, in a pytest of its own as they would run it."""

from __future__ import annotations

import gc
import inspect
import re
import socket
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from contract.wire_client import hello, start_api
from support import eventually, run

from ibstream_gateway_emulator.control.handle import Control
from ibstream_gateway_emulator.faults import verbs
from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.server import CannotListenError
from ibstream_gateway_emulator.settings import EmulatorSettings
from ibstream_gateway_emulator.testing import beside
from ibstream_gateway_emulator.testing.beside import GatewayBeside

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "gateway-emulator.md"
IB_ASYNC_EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
"""The example of the documentation, as it stands there."""
VERBS_EXAMPLE = """
    from ib_async import IB, LimitOrder, Stock
    from ibstream_gateway_emulator.faults import verbs

    def test_it_copes_with_a_rejection(gateway):
        ib = IB()
        ib.connect(gateway.host, gateway.port, clientId=1)
        contract = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))[0]
        gateway.do(verbs.RejectOrders(text="No, thank you."))
        trade = ib.placeOrder(contract, LimitOrder("BUY", 10, 1.0, tif="DAY"))
        while not trade.isDone():
            ib.sleep(0.01)
        assert [order.outcome for order in gateway.orders()] == ["rejected"]
        ib.disconnect()
"""
ASYNC_EXAMPLE = """
    import asyncio
    from ib_async import IB

    def test_it_hears_of_a_lost_link(gateway):
        async def scenario():
            ib, codes = IB(), asyncio.Queue()
            ib.errorEvent += lambda req_id, code, text, contract: codes.put_nowait(code)
            await ib.connectAsync(gateway.host, gateway.port, clientId=1)
            await gateway.control.lose_link()
            while await asyncio.wait_for(codes.get(), 5) != 1100:
                pass
            assert (await gateway.control.faults()).in_force
            ib.disconnect()

        asyncio.run(scenario())
"""
OTHER_SETTINGS = """
    import pytest
    from ibstream_gateway_emulator.settings import EmulatorSettings

    @pytest.fixture
    def gateway_settings():
        return EmulatorSettings(symbols=("F",), port=0, account="DU1234567")

    def test_the_account_is_ours(gateway):
        assert gateway.settings.account == "DU1234567"
"""
TWO_TESTS = """
    def test_one(gateway):
        assert gateway.port and not gateway.orders()

    def test_another(gateway):
        assert gateway.port and not gateway.clients()
"""


def passes(pytester: pytest.Pytester, program: str, count: int = 1) -> None:
    """Run the program in a pytest of its own, which finds the fixture because the package is installed. Warnings are errors."""
    pytester.makepyfile(textwrap.dedent(program))
    result = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-W", "error", "-W", "ignore:There is no current event loop", timeout=60
    )
    result.assert_outcomes(passed=count)


@pytest.mark.parametrize(
    ("program", "count"),
    [(IB_ASYNC_EXAMPLE, 1), (VERBS_EXAMPLE, 1), (ASYNC_EXAMPLE, 1), (OTHER_SETTINGS, 1), (TWO_TESTS, 2)],
    ids=["plain ib_async", "verbs", "async handle", "other settings", "a fresh one per test"],
)
def test_a_foreign_program_is_tested_with_it(pytester: pytest.Pytester, program: str, count: int) -> None:
    passes(pytester, program, count)


def test_it_stops_clean_even_while_a_client_is_connected() -> None:
    """Leaving the context ends the thread, frees the port and closes the client's connection."""
    with GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway:
        client = socket.create_connection((gateway.host, gateway.port), timeout=5)
        client.sendall(hello() + start_api(3))
        assert client.recv(4)
    with client:
        while client.recv(65536):
            pass
    assert not [thread for thread in threading.enumerate() if thread.name == "gateway-emulator"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((gateway.host, gateway.port), timeout=1)


def test_a_gateway_that_cannot_start_says_why_at_once() -> None:
    with GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway:
        second = GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=gateway.port))
        with pytest.raises(CannotListenError, match="in use"):
            second.__enter__()


QUESTIONS: dict[str, Callable[[GatewayBeside], object]] = {
    "do": lambda gateway: gateway.do(verbs.LoseLink()),
    "clients": lambda gateway: gateway.clients(),
    "orders": lambda gateway: gateway.orders(),
    "executions": lambda gateway: gateway.executions(),
    "messages": lambda gateway: gateway.messages(),
    "faults": lambda gateway: gateway.faults(),
    "control": lambda gateway: gateway.control,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_outside_of_its_context_it_says_that_it_does_not_run(question: str) -> None:
    """Before and after alike, and without a coroutine left behind: warnings are errors here."""
    gateway = GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0))
    with pytest.raises(RuntimeError, match="the stand-in Gateway does not run; it does inside `with "):
        QUESTIONS[question](gateway)
    with gateway:
        QUESTIONS[question](gateway)
    with pytest.raises(RuntimeError, match="the stand-in Gateway does not run; it does inside `with "):
        QUESTIONS[question](gateway)
    gc.collect()


def test_a_handle_kept_for_longer_than_the_gateway_says_so_too() -> None:
    with GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway:
        control = gateway.control
    with pytest.raises(RuntimeError, match="the stand-in Gateway does not run"):
        run(control.faults())
    gc.collect()


def test_a_gateway_runs_once() -> None:
    gateway = GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0))
    with gateway:
        pass
    with pytest.raises(RuntimeError, match="has run already; make another GatewayBeside"):
        gateway.__enter__()


def test_a_gateway_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever blocks its event loop is not left to believe that the port is free."""
    monkeypatch.setattr(beside, "STOP_S", 0.05)
    over = threading.Event()

    async def block() -> None:
        over.wait(30)

    with (
        pytest.raises(RuntimeError, match=r"has not ended within 0\.05 s: something blocks its event loop"),
        GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway,
    ):
        blocked = gateway.submit(block())
    over.set()
    blocked.result(10)
    gateway._thread.join(10)
    assert not gateway._thread.is_alive()


def test_a_plain_test_asks_all_that_an_async_one_may() -> None:
    """The messages of one direction, those after a number, and what is wrong at the moment."""
    with GatewayBeside(EmulatorSettings(symbols=("AAPL",), port=0)) as gateway:
        with socket.create_connection((gateway.host, gateway.port), timeout=5) as client:
            client.sendall(hello() + start_api(3) + frame(("49", "1")))
            run(eventually(lambda: gateway.messages(name="CurrentTime").messages, what="the time"))
            asked = gateway.messages(client_id=3, direction="in").messages
            assert [one.fields[0] for one in asked] == ["49"]
            told = gateway.messages(client_id=3, direction="out").messages
            assert {one.direction for one in told} == {"out"}
            later = gateway.messages(direction="out", after=told[0].number).messages
            assert later == told[1:]
        gateway.do(verbs.LoseLink())
        assert [one.verb["verb"] for one in gateway.faults().in_force] == ["lose_link"]


@pytest.mark.parametrize("question", ["clients", "orders", "executions", "messages", "faults"])
def test_the_plain_questions_are_those_of_the_async_handle(question: str) -> None:
    plain, awaited = (inspect.signature(getattr(one, question)) for one in (GatewayBeside, Control))
    assert plain == awaited


def test_the_documentation_names_every_verb() -> None:
    """And names none that there is not."""
    table = PAGE.read_text().partition("| verb |")[2].partition("\n\n")[0]
    first_columns = [row.split("|")[1] for row in table.splitlines() if row.startswith("|")]
    assert set(re.findall(r"`([a-z_]+)`", " ".join(first_columns))) == verbs.VERBS.keys()
