"""Sessions are each their own: whoever lives beside them, and whatever becomes of the server."""

import jax
import numpy as np
import pytest
from in_use import small

from innerloop.core import Plan
from innerloop.deploy.agent import Agent
from innerloop.deploy.sessions import Refused, Sessions

CARD = {"digest": "d" * 64, "recipe": {"name": "small", "family": "point-goal"}}


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self):
        return self.now


def made(name):
    inner, _ = small(name, "point-goal")
    if inner.plan.restart:
        inner = inner.with_plan(Plan(chunks=3, steps=4, streams=2, restart=True))
    return Agent(inner, inner.init(jax.random.key(0)), card=CARD)


@pytest.fixture(scope="module", params=["rl2", "maml"])
def agent(request):
    """One that remembers, and one that learns from chunks of two episodes."""
    return made(request.param)


@pytest.fixture
def sessions(agent, tmp_path):
    return Sessions(agent, tmp_path / "served", slots=6, share=4, ttl=10.0, width=3, clock=Clock())


def observed(session, step):
    """What happens to it, by its own numbers alone."""
    return np.array([0.1 * session, 0.01 * step], np.float32)


def lived(sessions, names, order, steps=20):
    """Every session acts and is paid `steps` times, in blocks as `order` cuts them; actions by session."""
    actions = {name: [] for name in names}
    for step in range(steps):
        for block in order(step):
            asked = [(sessions.live[names[i]], observed(i, step)) for i in block]
            for i, action in zip(block, sessions.act(asked), strict=True):
                actions[names[i]].append(action)
                ended = step % 4 == 3
                then = observed(i, step + 1)
                sessions.reward(sessions.live[names[i]], float(np.sum(action)), False, ended, then)
    return [np.array(actions[name]) for name in names]


def test_what_one_does_never_depends_on_who_is_beside_it(agent, sessions):
    """Bit for bit: alone, in one block with others, and in blocks of changing order."""
    together = [sessions.begin(str(i), seed=i, at_end="continue", deterministic=False).name for i in range(5)]

    def changing(step):
        order = np.random.default_rng(step).permutation(5)
        return [list(order[:2]), list(order[2:])]

    seen = lived(sessions, together, changing)
    kept = [jax.tree.map(np.asarray, sessions.live[name].agent._fast) for name in together]
    for i in range(5):
        sessions.live.clear()
        alone = [""] * i + [sessions.begin("a", seed=i, at_end="continue", deterministic=False).name]
        actions = lived(sessions, alone, lambda step, i=i: [[i]])[i]
        np.testing.assert_array_equal(actions, seen[i])
        for a, b in zip(jax.tree.leaves(kept[i]), jax.tree.leaves(sessions.live[alone[i]].agent._fast), strict=True):
            np.testing.assert_array_equal(a, b)


def test_one_alone_is_the_agent_itself(agent, sessions):
    """As `Agent.act` would, but for the last digits that a block of another width may round otherwise."""
    name = sessions.begin("a", seed=4, at_end="continue", deterministic=True).name
    (served,) = lived(sessions, [name], lambda step: [[0]])
    twin = agent.copy().begin(4)
    for step in range(20):
        action = twin.act(observed(0, step), deterministic=True)
        np.testing.assert_allclose(action, served[step], rtol=1e-4, atol=1e-5)
        twin.reward(float(np.sum(action)), False, step % 4 == 3, obs=observed(0, step + 1))


def test_after_a_restart_saved_ones_go_on_and_others_are_gone(agent, sessions):
    names = [sessions.begin(str(i), seed=i, at_end="continue", deterministic=False).name for i in range(2)]
    lived(sessions, names, lambda step: [[0, 1]], steps=9)
    sessions.save(sessions.live[names[0]])
    after = Sessions(agent, sessions.folder, slots=6, width=3, clock=Clock())
    session = after.get(names[0], "0")
    assert session.standing["steps"] == 9
    going_on = {}
    for one in (sessions, after):
        going_on[one] = one.act([(one.live[names[0]], observed(0, 9))])[0]
    np.testing.assert_array_equal(going_on[sessions], going_on[after])
    with pytest.raises(Refused, match="over") as gone:
        after.get(names[1], "1")
    assert gone.value.kind == "gone"
    with pytest.raises(Refused) as unknown:
        after.get(names[1][:-1] + ("0" if names[1][-1] != "0" else "1"), "1")
    assert unknown.value.kind == "unknown-session"


def test_places_and_shares_and_idleness(sessions):
    clock = sessions._clock
    for i in range(4):
        sessions.begin("greedy", i, "continue", False)
    with pytest.raises(Refused) as quota:
        sessions.begin("greedy", 9, "continue", False)
    kept = [sessions.begin("other", i, "continue", False) for i in range(2)]
    with pytest.raises(Refused) as full:
        sessions.begin("third", 9, "continue", False)
    assert (quota.value.kind, full.value.kind) == ("quota", "no-slot")
    clock.now = 8.0
    sessions.get(kept[0].name, "other")
    clock.now = 11.0
    assert sessions.begin("third", 9, "continue", False)  # idle ones make room
    assert set(sessions.live) == {kept[0].name, next(reversed(sessions.live))}


def test_what_was_spoilt_on_the_disk_is_gone_and_says_so(sessions):
    session = sessions.begin("a", 0, "continue", False)
    sessions.save(session)
    file = sessions.folder / session.name / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    sessions.live.clear()
    with pytest.raises(Refused, match="damaged") as gone:
        sessions.get(session.name, "a")
    assert gone.value.kind == "gone"


def test_ending_forgets(sessions):
    session = sessions.begin("a", 0, "continue", False)
    sessions.save(session)
    sessions.end(session)
    with pytest.raises(Refused) as gone:
        sessions.get(session.name, "a")
    assert gone.value.kind == "gone" and not (sessions.folder / session.name).exists()
