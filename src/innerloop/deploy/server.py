"""`innerloop serve`: sessions of an adapting agent over HTTP and WebSocket.

Not the sessions (`sessions.py`), nor the line in which requests wait for them (`line.py`). Nothing over the wire names a file
or an address, and there is no way to the server itself.
"""

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from innerloop.core import Discrete
from innerloop.deploy.line import Line
from innerloop.deploy.sessions import Refused, Session, Sessions

try:
    import uvicorn
    from fastapi import Depends, FastAPI, Path as InPath, Request, WebSocket, WebSocketDisconnect
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, PlainTextResponse
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from pydantic import ValidationError
    from starlette.exceptions import HTTPException
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from innerloop.deploy.wire import STATUS, Act, Action, Begin, Error, Reward, Standing
except ImportError as missing:
    raise ImportError(
        f"serving needs {missing.name}, which is in an extra: pip install 'innerloop[serve]'", name=missing.name
    ) from None

_log = logging.getLogger(__name__)

LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1", "testserver")


class Metrics:
    """For Prometheus."""

    def __init__(self, sessions: Sessions) -> None:
        self.registry = CollectorRegistry()
        name = "innerloop_"
        self.requests = Counter(
            name + "requests", "by what was asked and the answer", ["what", "answer"], registry=self.registry
        )
        self.seconds = Histogram(
            name + "request_seconds",
            "from the request to the answer",
            ["what"],
            registry=self.registry,
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
        )
        self.together = Histogram(
            name + "acting_together",
            "agents that acted at once",
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 64, 256, 1024),
        )
        self.live = Gauge(name + "sessions", "that are alive", registry=self.registry)
        self.live.set_function(lambda: len(sessions.live))


class Sized:
    """Refuses bodies that are larger than any request can be, before they are read."""

    def __init__(self, app: ASGIApp, limit: int):
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > self.limit:
            return await _refusal("too-large", f"a request has at most {self.limit} bytes.")(scope, receive, send)
        read, over = 0, False

        async def counted() -> Message:
            nonlocal read, over
            message = await receive()
            read += len(message.get("body", b""))
            over = over or read > self.limit
            return {"type": "http.request", "body": b"", "more_body": False} if over else message

        await self.app(scope, counted, send)


def _refusal(kind: str, message: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if kind == "unauthorised" else {}
    headers |= {"Retry-After": "1"} if STATUS[kind] == 429 else {}
    return JSONResponse({"error": {"type": kind, "message": message}}, STATUS[kind], headers)


def _plain(action: Any) -> Any:
    return action if isinstance(action, int) else action.tolist()


class Service:
    """The application and what it holds."""

    def __init__(self, sessions: Sessions, token: str | None = None, hosts: tuple[str, ...] = LOCAL):
        """`token`: what clients must show; None: nobody is asked, which is for this machine alone. `hosts`: names that a
        browser may call this server by (a page elsewhere could call it otherwise)."""
        self.sessions, self.token, self.hosts = sessions, token, hosts
        self.metrics = Metrics(sessions)
        self.line = Line(sessions, self.metrics.together.observe)
        entries = sum(math.prod(leaf.shape) for leaf in sessions.agent.door._leaves)
        self.limit = 4096 + 32 * max(entries, 1)  # bytes of a request: a number takes fewer than 32
        self.app: Any = self._app()

    # -- what is asked of every request -------------------------------------------------------------------------------------

    def _let_in(self, host: str, origin: str | None, shown: str | None) -> None:
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        if self.token is None and name not in self.hosts:
            raise Refused("forbidden", f"this server answers to {', '.join(self.hosts[:3])} only; set a token to serve others.")
        if origin is not None and origin.split("://")[-1] != host:
            raise Refused("forbidden", "pages of other sites may not call this server.")
        if self.token is not None and not hmac.compare_digest((shown or "").encode(), f"Bearer {self.token}".encode()):
            raise Refused("unauthorised", "show the server's token: Authorization: Bearer TOKEN.")

    async def _client(self, request: Request) -> str:
        headers = request.headers
        self._let_in(headers.get("host", ""), headers.get("origin"), headers.get("authorization"))
        return request.client.host if request.client else ""

    # -- what can be asked ---------------------------------------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """The run behind the server."""
        agent, card = self.sessions.agent, self.sessions.agent.card
        action = agent.spaces.action
        shape = [] if isinstance(action, Discrete) else list(action.shape)
        plan = agent.plan
        return {
            "recipe": card["recipe"]["name"],
            "family": card["recipe"]["family"],
            "digest": card["digest"],
            "observation": str(agent.spaces.obs),
            "action": {"space": str(action), "shape": shape},
            "trial": {"chunks": plan.chunks, "steps": plan.steps, "episodes": plan.episodes},
            "slots": self.sessions.slots,
            "ttl_seconds": self.sessions.ttl,
        }

    def _standing(self, session: Session) -> dict[str, Any]:
        return {"session": session.name, **session.standing}

    async def begin(self, client: str, asked: Begin) -> dict[str, Any]:
        return await self.line.do(
            lambda: self._standing(self.sessions.begin(client, asked.seed, asked.at_end, asked.deterministic))
        )

    async def act(self, client: str, name: str, asked: Act) -> dict[str, Any]:
        return {"action": _plain(await self.line.act(name, client, asked.obs))}

    async def reward(self, client: str, name: str, asked: Reward) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            session = self.sessions.get(name, client)
            self.sessions.reward(session, asked.reward, asked.terminated, asked.truncated, asked.obs)
            return self._standing(session)

        return await self.line.do(work)

    async def look(self, client: str, name: str) -> dict[str, Any]:
        return await self.line.do(lambda: self._standing(self.sessions.get(name, client)))

    async def snapshot(self, client: str, name: str) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            session = self.sessions.get(name, client)
            self.sessions.save(session)
            return self._standing(session)

        return await self.line.do(work)

    async def end(self, client: str, name: str) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            session = self.sessions.get(name, client)
            self.sessions.end(session)
            return self._standing(session)

        return await self.line.do(work)

    # -- HTTP ----------------------------------------------------------------------------------------------------------------

    def _app(self) -> ASGIApp:
        @contextlib.asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            running = asyncio.create_task(self.line.run())
            try:
                yield
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                self.line.close()
                kept = self.sessions.save_all()
                _log.info("%d sessions are kept in %s.", kept, self.sessions.folder)

        wrong = {status: {"model": Error} for status in sorted({*STATUS.values()})}
        app = FastAPI(
            title="innerloop",
            summary="Sessions of an agent that adapts to its task.",
            version="1",
            lifespan=lifespan,
            responses=wrong,  # pyright: ignore[reportArgumentType]
            docs_url=None,  # its page would load scripts from elsewhere
            redoc_url=None,
            strict_content_type=False,
        )
        Client = Annotated[str, Depends(self._client)]
        Name = Annotated[str, InPath(max_length=64)]

        @app.get("/healthz", summary="Whether the server answers; asks for no token.")
        async def healthz() -> dict[str, str]:
            return {"status": "ok"}

        @app.get("/metrics", summary="For Prometheus.", response_class=PlainTextResponse)
        async def metrics(client: Client) -> PlainTextResponse:
            return PlainTextResponse(generate_latest(self.metrics.registry), media_type="text/plain; version=0.0.4")

        @app.get("/v1/about", summary="The run behind the server.")
        async def about(client: Client) -> dict[str, Any]:
            return self.about()

        @app.post("/v1/sessions", status_code=201, summary="Begin a session, in a new task.")
        async def begin(client: Client, asked: Begin | None = None) -> Standing:
            return Standing(**await self._timed("begin", self.begin(client, asked or Begin())))  # pyright: ignore[reportCallIssue]

        @app.get("/v1/sessions/{name}", summary="How far a session has come.")
        async def look(client: Client, name: Name) -> Standing:
            return Standing(**await self._timed("look", self.look(client, name)))

        @app.post("/v1/sessions/{name}/act", summary="The next action.")
        async def act(client: Client, name: Name, asked: Act) -> Action:
            return Action(**await self._timed("act", self.act(client, name, asked)))

        @app.post("/v1/sessions/{name}/reward", summary="What the last action earned.")
        async def reward(client: Client, name: Name, asked: Reward) -> Standing:
            return Standing(**await self._timed("reward", self.reward(client, name, asked)))

        @app.post("/v1/sessions/{name}/snapshot", summary="Keep a session over a restart, as it stands now.")
        async def snapshot(client: Client, name: Name) -> Standing:
            return Standing(**await self._timed("snapshot", self.snapshot(client, name)))

        @app.delete("/v1/sessions/{name}", summary="End a session, and forget what was saved of it.")
        async def end(client: Client, name: Name) -> Standing:
            return Standing(**await self._timed("end", self.end(client, name)))

        @app.websocket("/v1/socket")
        async def socket(socket: WebSocket) -> None:
            await self._socket(socket)

        @app.exception_handler(Refused)
        async def refused(_: Request, error: Refused) -> JSONResponse:
            return _refusal(error.kind, str(error))

        @app.exception_handler(RequestValidationError)
        async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
            return _refusal("bad-input", _said(error.errors()))

        @app.exception_handler(HTTPException)
        async def other(_: Request, error: HTTPException) -> JSONResponse:
            kind = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "bad-request")
            return _refusal(kind, str(error.detail))

        return Sized(app, self.limit)

    async def _timed(self, what: str, doing: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        began, answer = time.perf_counter(), "ok"
        try:
            return await doing
        except Refused as error:
            answer = error.kind
            raise
        finally:
            self.metrics.requests.labels(what, answer).inc()
            self.metrics.seconds.labels(what).observe(time.perf_counter() - began)

    # -- WebSocket -----------------------------------------------------------------------------------------------------------

    async def _socket(self, socket: WebSocket) -> None:
        """Messages {"op": "begin" | "act" | "reward" | "look" | "snapshot" | "end", "session": …, and what HTTP takes}; each is
        answered in turn, as HTTP would, with {"error": …} where it is refused."""
        headers = socket.headers
        try:
            self._let_in(headers.get("host", ""), headers.get("origin"), headers.get("authorization"))
        except Refused as error:
            return await socket.close(1008, str(error)[:120])
        await socket.accept()
        client = socket.client.host if socket.client else ""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                try:
                    answer = await self._asked(client, message.get("text") or message.get("bytes") or "")
                except Refused as error:
                    answer = {"error": {"type": error.kind, "message": str(error)}}
                await socket.send_text(json.dumps(answer))

    async def _asked(self, client: str, text: str | bytes) -> dict[str, Any]:
        if len(text) > self.limit:
            raise Refused("too-large", f"a message has at most {self.limit} bytes.")
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):
            raise Refused("bad-request", "the message is no JSON.") from None
        if not isinstance(asked, dict):
            raise Refused("bad-request", 'a message is an object, such as {"op": "begin"}.')
        op, name = asked.pop("op", None), asked.pop("session", "")
        if not isinstance(name, str) or len(name) > 64:
            raise Refused("unknown-session", "there is no session of this name; begin one.")
        try:
            if op == "begin":
                doing = self.begin(client, Begin(**asked))
            elif op == "act":
                doing = self.act(client, name, Act(**asked))
            elif op == "reward":
                doing = self.reward(client, name, Reward(**asked))
            elif op in ("look", "snapshot", "end") and not asked:
                doing = {"look": self.look, "snapshot": self.snapshot, "end": self.end}[op](client, name)
            else:
                raise Refused("bad-request", '"op" is one of begin, act, reward, look, snapshot, end, with what HTTP takes.')
        except ValidationError as error:
            raise Refused("bad-input", _said(error.errors())) from None
        return await self._timed(op, doing)


def _said(errors: Any) -> str:
    """What pydantic found, in one line; what was given is not repeated."""
    return "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in list(errors)[:3])[:500]


def serve(
    sessions: Sessions, host: str, port: int, token: str | None, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Until a signal comes. ValueError: another address than this machine's own, and no token."""
    if token is None and not _loopback(host):
        raise ValueError(f"--host {host} can be reached from elsewhere; set a token (--token-file), or serve on 127.0.0.1.")
    if token is not None and len(token) < 16:
        raise ValueError("the token has fewer than 16 characters; make a longer one, as by `openssl rand -hex 16`.")
    service = Service(sessions, token)
    config = uvicorn.Config(
        service.app,
        host,
        port,
        log_level="warning",
        server_header=False,
        ws_max_size=service.limit,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            at = server.servers[0].sockets[0].getsockname()
            announce(f"http://{host if ':' not in host else f'[{host}]'}:{at[1]}")
        await serving

    asyncio.run(run())


def read_token(path: Path) -> str:
    """The first line of a file; ValueError where it is none."""
    try:
        return path.read_text("utf-8").splitlines()[0].strip()
    except (OSError, UnicodeError, IndexError) as error:
        raise ValueError(f"--token-file {path} could not be read: {error}.") from None


def _loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
