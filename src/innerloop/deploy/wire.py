"""What goes over the wire: requests, answers and the words for what is wrong.

Not what is done with them (`server.py`). Needs pydantic, which comes with the extra `serve`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

STATUS = {
    "bad-input": 422,
    "bad-request": 400,
    "unauthorised": 401,
    "forbidden": 403,
    "unknown-session": 404,
    "not-found": 404,
    "method-not-allowed": 405,
    "out-of-turn": 409,
    "diverged": 409,
    "gone": 410,
    "too-large": 413,
    "quota": 429,
    "no-slot": 429,
    "no-room": 429,
    "busy": 429,
}


class Begin(BaseModel):
    """A new session, in a new task."""

    model_config = ConfigDict(extra="forbid")
    seed: int = Field(0, ge=0, lt=2**32, strict=True, description="of all that the agent draws")
    at_end: Literal["continue", "restart", "error"] = "continue"
    deterministic: StrictBool = Field(False, description="act by the mode of the policy")


class Act(BaseModel):
    """What the agent sees."""

    model_config = ConfigDict(extra="forbid")
    obs: Any = Field(description="of the run's observation space: a number, nested lists, or an object of them")


class Reward(BaseModel):
    """What the last action earned."""

    model_config = ConfigDict(extra="forbid")
    reward: float = Field(allow_inf_nan=False, strict=True)
    terminated: StrictBool = False
    truncated: StrictBool = False
    obs: Any = Field(None, description="what the action led to, before any reset; needed where the episode ended")


class Standing(BaseModel):
    """How far an agent has come."""

    session: str
    steps: int
    episodes: int
    learned: int
    trial_over: bool


class Action(BaseModel):
    """An action of the run's action space: a number, or a list of them."""

    action: int | list[Any]


class Fault(BaseModel):
    """What is wrong: `type` for programs, `message` for people."""

    type: str
    message: str


class Error(BaseModel):
    """Every answer that is no success."""

    error: Fault
