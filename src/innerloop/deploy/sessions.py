"""Sessions: agents that live in a server, each with a task of its own, in a fixed number of places.

Not the wire (`server.py`): nothing here knows of HTTP. All calls come from one thread. A session's name is signed, so that one
that is gone is told from one that never was, over restarts too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innerloop.deploy.agent import Agent
from innerloop.deploy.folder import shapes
from innerloop.deploy.together import Together
from innerloop.run import sealed
from innerloop.run.folder import FolderError

NAME = re.compile(r"[0-9a-f]{24}-[0-9a-f]{16}")
SCHEMA = 1  # of a saved session


class Refused(Exception):
    """A request that cannot be granted: `kind` is a word for programs, the message one for people."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


@dataclass
class Session:
    """One of them."""

    name: str
    client: str
    agent: Agent
    deterministic: bool
    used: float  # by the clock
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def standing(self) -> dict[str, Any]:
        """How far its agent has come."""
        counts = self.agent.counts
        told = {"steps": counts.steps, "episodes": counts.episodes, "learned": counts.learned}
        return {name: int(x) for name, x in told.items()} | {"trial_over": self.agent.trial_over}


class Sessions:
    """`slots` of them at most, `share` for one client; idle ones end after `ttl` seconds. What is saved is in `folder`."""

    def __init__(
        self,
        agent: Agent,
        folder: Path,
        *,
        slots: int = 1024,
        share: int = 1024,
        ttl: float = 600.0,
        width: int = 8,
        clock: Callable[[], float],
    ):
        for name, value in (("slots", slots), ("share", share)):
            if value < 1:
                raise ValueError(f"{name} is {value}; accepted: a number of sessions, at least 1.")
        if not ttl > 0:
            raise ValueError(f"ttl is {ttl}; accepted: seconds above 0.")
        self.agent, self.folder, self.slots, self.share, self.ttl, self._clock = agent, folder, slots, share, ttl, clock
        self.together = Together(agent, width)
        self.live: dict[str, Session] = {}
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._secret = _secret(folder / "secret")

    # -- one session --------------------------------------------------------------------------------------------------------

    def begin(self, client: str, seed: int, at_end: str, deterministic: bool) -> Session:
        """A new one, in a new task; Refused where there is no place."""
        self._admit(client)
        bare = secrets.token_hex(12)
        agent = self.agent.copy().begin(seed, at_end=at_end)
        session = Session(f"{bare}-{self._sign(bare)}", client, agent, deterministic, self._clock())
        self.live[session.name] = session
        return session

    def get(self, name: str, client: str) -> Session:
        """The session, read from the disk where it was saved before a restart; Refused where it is gone, or never was."""
        session = self.live.get(name)
        if session is None:
            session = self._back(name, client)
        session.used = self._clock()
        return session

    def reward(self, session: Session, reward: float, terminated: bool, truncated: bool, obs: Any) -> None:
        """What its last action earned."""
        _granted(lambda: session.agent.reward(reward, terminated, truncated, obs=obs))

    def act(self, asked: Sequence[tuple[Session, Any]]) -> list[Any]:
        """The actions of sessions at observations, or the Refused of each that cannot act. A session may be asked once."""
        answers: list[Any] = [None] * len(asked)
        questions, at = [], []
        for i, (session, obs) in enumerate(asked):
            try:
                questions.append((session.agent, _granted(lambda s=session, o=obs: s.agent.ask(o)), session.deterministic))
                at.append(i)
            except Refused as error:
                answers[i] = error
        for i, answer in zip(at, self.together.act(questions), strict=True):
            failed = isinstance(answer, FloatingPointError)
            answers[i] = Refused("diverged", str(answer)) if failed else answer
        return answers

    def save(self, session: Session) -> None:
        """Keep it over a restart, as it stands now."""
        kept = sum(1 for _ in self.folder.glob("*/manifest.json"))
        if kept >= 4 * self.slots and not (self.folder / session.name).is_dir():
            raise Refused("no-room", f"{kept} sessions are saved already, the most that this server keeps; end some of them.")
        state, told = session.agent.state()
        card = {"session_schema": SCHEMA, "run": self._run, "client": session.client, "state": told}
        card["deterministic"] = session.deterministic
        try:
            sealed.save_meta(self.folder / session.name, state, card)
        except OSError as error:
            raise Refused("no-room", f"the session could not be saved: {error}.") from None

    def end(self, session: Session) -> None:
        """Give its place back, and forget what was saved of it."""
        self.live.pop(session.name, None)
        shutil.rmtree(self.folder / session.name, ignore_errors=True)

    # -- all of them --------------------------------------------------------------------------------------------------------

    def sweep(self) -> int:
        """End sessions that were idle for too long (saved ones can come back); how many."""
        late = self._clock() - self.ttl
        idle = [name for name, session in self.live.items() if session.used < late]
        for name in idle:
            del self.live[name]
        return len(idle)

    def save_all(self) -> int:
        """Before the server stops: keep every session; how many could be kept."""
        kept = 0
        for session in self.live.values():
            try:
                self.save(session)
                kept += 1
            except (Refused, FloatingPointError, ValueError):
                continue
        return kept

    # -- inside -------------------------------------------------------------------------------------------------------------

    @property
    def _run(self) -> str:
        return str(self.agent.card["digest"])

    def _admit(self, client: str) -> None:
        if len(self.live) >= self.slots:
            self.sweep()
        if len(self.live) >= self.slots:
            raise Refused("no-slot", f"all {self.slots} places are taken; end a session, or try again later.")
        mine = sum(session.client == client for session in self.live.values()) if self.share < self.slots else 0
        if mine >= self.share:
            raise Refused("quota", f"you have {mine} sessions, the most that one client may have; end one of them.")

    def _sign(self, bare: str) -> str:
        return hmac.new(self._secret, bare.encode(), hashlib.sha256).hexdigest()[:16]

    def _back(self, name: str, client: str) -> Session:
        bare, _, signature = name.partition("-")
        if not NAME.fullmatch(name) or not hmac.compare_digest(self._sign(bare), signature):
            raise Refused("unknown-session", "there is no session of this name; begin one.")
        path = self.folder / name
        if not (path / "manifest.json").is_file():
            raise Refused(
                "gone", "this session is over: it was ended, was idle for too long, or was not saved before a restart."
            )
        try:
            card = sealed.read_card(path)
            if card.get("session_schema") != SCHEMA or card["run"] != self._run:
                raise Refused("gone", "this session was saved by another version or of another run, and cannot go on here.")
            state, _ = sealed.load_meta(path, shapes(self.agent, card["state"]))
        except FolderError as error:
            raise Refused("gone", f"what was saved of this session is damaged: {error}") from None
        self._admit(client)
        agent = self.agent.copy().resume(state | {"meta": self.agent.meta}, card["state"])
        session = Session(name, card["client"], agent, card["deterministic"], self._clock())
        self.live[name] = session
        return session


def _granted(do: Callable[[], Any]) -> Any:
    """What it returns; Refused in place of what an agent raises for wrong input, or out of turn."""
    try:
        return do()
    except RuntimeError as error:
        raise Refused("out-of-turn", str(error)) from None
    except (ValueError, TypeError, OverflowError) as error:
        raise Refused("bad-input", str(error)) from None


def _secret(path: Path) -> bytes:
    """Of this server's folder: made once, readable by its owner alone."""
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(json.dumps(secrets.token_hex(32)))
    return bytes.fromhex(json.loads(path.read_text()))
