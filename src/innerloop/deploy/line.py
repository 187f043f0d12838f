"""The line in which requests to a server wait: one thread takes all that wait, and acts for all of them at once.

Not the server (`server.py`): nothing here knows of HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from innerloop.deploy.sessions import Refused, Sessions

WAITING = 4096  # requests in the line at most


@dataclass
class Waiting:
    """A request in the line."""

    work: Callable[[], Any] | None  # anything but acting
    session: str
    client: str
    obs: Any
    answer: asyncio.Future[Any]


class Line:
    """One thread does all that touches agents; what waits to act is done together."""

    def __init__(self, sessions: Sessions, seen: Callable[[int], None] = lambda _: None):
        """`seen` is told how many acted together."""
        self.sessions, self._seen = sessions, seen
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue(WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agents")

    async def do(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, done in the agents' thread."""
        return await self._wait(work, "", "", None)

    async def act(self, session: str, client: str, obs: Any) -> Any:
        """The action of a session at an observation."""
        return await self._wait(None, session, client, obs)

    async def _wait(self, work: Callable[[], Any] | None, session: str, client: str, obs: Any) -> Any:
        one = Waiting(work, session, client, obs, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(one)
        except asyncio.QueueFull:
            raise Refused("busy", f"{WAITING} requests are waiting already; try again later.") from None
        return await one.answer

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        swept = time.monotonic()
        while True:
            some = [await self._queue.get()]
            while not self._queue.empty():
                some.append(self._queue.get_nowait())
            for one, (answer, error) in zip(some, await loop.run_in_executor(self._thread, self._done, some), strict=True):
                if one.answer.cancelled():
                    continue
                if error is None:
                    one.answer.set_result(answer)
                else:
                    one.answer.set_exception(error)
            if time.monotonic() - swept > 1.0:
                swept = time.monotonic()
                await loop.run_in_executor(self._thread, self.sessions.sweep)

    def close(self) -> None:
        """No more work."""
        self._thread.shutdown(wait=True)

    def _done(self, some: list[Waiting]) -> list[tuple[Any, Exception | None]]:
        """In the order in which they came, but for acting, which is done together until a session is asked for again."""
        answers: list[tuple[Any, Exception | None]] = [(None, None)] * len(some)
        acting: dict[str, int] = {}

        def act() -> None:
            asked, at = [], []
            for i in acting.values():
                try:
                    asked.append((self.sessions.get(some[i].session, some[i].client), some[i].obs))
                    at.append(i)
                except Exception as error:
                    answers[i] = (None, error)
            acting.clear()
            if not asked:
                return
            self._seen(len(asked))
            try:
                found = self.sessions.act(asked)
            except Exception as error:
                found = [error] * len(asked)
            for i, answer in zip(at, found, strict=True):
                answers[i] = (None, answer) if isinstance(answer, Exception) else (answer, None)

        for i, one in enumerate(some):
            if one.work is None and one.session not in acting:
                acting[one.session] = i
                continue
            act()
            if one.work is None:
                acting[one.session] = i
                continue
            try:
                answers[i] = (one.work(), None)
            except Exception as error:
                answers[i] = (None, error)
        act()
        return answers
