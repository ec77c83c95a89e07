"""The HTTP API: command faults, and ask what really happened. For loopback: it knows no passwords."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import RedirectResponse

from ibstream_gateway_emulator.control import transcript, views
from ibstream_gateway_emulator.control.fields import fields_of
from ibstream_gateway_emulator.control.journal import Direction
from ibstream_gateway_emulator.faults import acts, verbs
from ibstream_gateway_emulator.gateway import Gateway

BODY_BYTES_MAX = 1024 * 1024
_JSON = "application/json"
_REFERENCES = "#/components/schemas/{name}"

_ROWS: tuple[type[views.Row], ...] = (views.ClientRow, views.OrderRow, views.ExecutionRow, views.MessageRow)

ClientId = Annotated[int | None, Query(description="Of this client alone.")]
Name = Annotated[str | None, Query(description="Of this name, such as OrderStatus; of a request its number.")]
Way = Annotated[str | None, Query(pattern="^(in|out)$", description="`in` from clients, `out` to them.")]
After = Annotated[int | None, Query(ge=0, description="The first that are newer than the message of this number.")]
Limit = Annotated[int, Query(ge=0, le=transcript.MESSAGES_AT_ONCE_MAX, description="At most so many.")]


def create_app(gateway: Gateway) -> FastAPI:
    """The application over a Gateway; it must run on the Gateway's own event loop. `/openapi.json` documents it."""
    app = FastAPI(title="ibstream gateway-emulator control", version="1", docs_url=None, redoc_url=None)
    _add_faults(app, gateway)
    _add_questions(app, gateway)
    _document(app)
    return app


def _add_faults(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/faults", responses=_responses(views.FaultsView, 409, 413, 422), openapi_extra=_body())
    async def command(request: Request) -> Response:
        """Do one verb, or a list of them in order. 422 for what is no verb: then none is done.

        409 where one cannot be done as things stand: those before it are done.
        """
        body = await _read(request)
        if body is None:
            return _error(413, f"more than {BODY_BYTES_MAX} bytes")
        try:
            commanded = verbs.decode(body)
        except verbs.VerbError as error:
            return _error(422, str(error), known=sorted(verbs.VERBS))
        for number, verb in enumerate(commanded, 1):
            try:
                acts.command(gateway, verb)
            except acts.CommandError as error:
                return _error(409, f"verb {number}, {verb.name}: {error}")
        return _answer(views.faults(gateway))

    @app.get("/faults", responses=_responses(views.FaultsView))
    async def faults() -> Response:
        """What is in force, and what was commanded so far."""
        return _answer(views.faults(gateway))

    @app.delete("/faults", responses=_responses(views.FaultsView))
    async def clear_all() -> Response:
        """End all that is in force."""
        acts.command(gateway, verbs.Clear())
        return _answer(views.faults(gateway))

    @app.delete("/faults/{verb}", responses=_responses(views.FaultsView, 422))
    async def clear(verb: str) -> Response:
        """End the states of one verb."""
        try:
            acts.command(gateway, verbs.Clear(fault=verb))
        except ValueError as error:
            return _error(422, str(error), known=sorted(verbs.CLEARABLE))
        return _answer(views.faults(gateway))


def _add_questions(app: FastAPI, gateway: Gateway) -> None:
    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/openapi.json")

    @app.get(
        "/health", responses={200: {"content": {_JSON: {"example": {"listening": True, "port": 4002, "clients": 0}}}}}
    )
    async def health() -> Response:
        """200 while the event loop turns; where the Gateway listens, and how many clients it has."""
        front = gateway.front
        port = None if front is None else front.port
        listening = front is not None and front.is_listening
        return _answer({"listening": listening, "port": port, "clients": len(gateway.clients)})

    @app.get("/clients", responses=_responses(list[views.ClientRow]))
    async def clients() -> Response:
        """The connected clients."""
        return _answer(views.clients(gateway))

    @app.get("/orders", responses=_responses(list[views.OrderRow]))
    async def orders() -> Response:
        """Every order there ever was, as it stands at IBKR; and those that were lost, by which fault."""
        return _answer(views.orders(gateway))

    @app.get("/executions", responses=_responses(list[views.ExecutionRow]))
    async def executions() -> Response:
        """Every execution, by time, whoever was told of it."""
        return _answer(views.executions(gateway))

    @app.get("/messages", responses=_responses(views.Messages))
    async def messages(
        client_id: ClientId = None,
        direction: Way = None,
        name: Name = None,
        after: After = None,
        limit: Limit = transcript.MESSAGES_AT_ONCE,
    ) -> Response:
        """What was said, both ways; the latest, without ready-made ticks. `dropped` and `left_out` count the others."""
        way = msgspec.convert(direction, Direction | None)
        return _answer(
            await transcript.messages(gateway, client_id=client_id, direction=way, name=name, after=after, limit=limit)
        )


async def _read(request: Request) -> bytes | None:
    """The body; None if it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _answer(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=_JSON)


def _error(status: int, detail: str, known: list[str] | None = None) -> Response:
    said: dict[str, Any] = {"detail": detail} if known is None else {"detail": detail, "known": known}
    return Response(msgspec.json.encode(said), status_code=status, media_type=_JSON)


_ERRORS = {
    409: "It cannot be done as things stand; the text says why.",
    413: f"The body is longer than {BODY_BYTES_MAX} bytes.",
    422: "That is no verb, or has a field that is none of its own; `known` lists the verbs.",
}


def _responses(kind: Any, *errors: int) -> dict[int | str, dict[str, Any]]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFERENCES)
    said: dict[int | str, dict[str, Any]] = {code: {"description": _ERRORS[code]} for code in errors}
    said[200] = {"content": {_JSON: {"schema": schema}}}
    return said


def _body() -> dict[str, Any]:
    one = {"$ref": _REFERENCES.format(name="Verb")}
    either = {"oneOf": [one, {"type": "array", "items": one, "maxItems": verbs.COMMANDS_MAX}]}
    example = {"verb": "delay", "ms": 40, "jitter_ms": 10}
    return {"requestBody": {"required": True, "content": {_JSON: {"schema": either, "example": example}}}}


def _document(app: FastAPI) -> None:
    """Put the Structs of verbs and rows into the OpenAPI document."""
    kinds = [verbs.AnyVerb, views.FaultsView, views.ClientRow, views.OrderRow, views.ExecutionRow, views.Messages]
    (verb, *_), components = msgspec.json.schema_components(kinds, ref_template=_REFERENCES)
    for struct in (*verbs.VERBS.values(), *_ROWS):
        properties = components[struct.__name__]["properties"]
        for field in fields_of(struct):
            if field.words:
                properties[field.name]["description"] = field.words
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {}).update({**components, "Verb": verb})
        return document

    app.openapi = openapi  # type: ignore[method-assign]
