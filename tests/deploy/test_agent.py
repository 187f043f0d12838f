"""An agent driven from outside lives the life that the library lives, says what it is told wrongly, and survives a restart."""

import jax
import numpy as np
import pytest
from in_use import lived, small, walk

from innerloop.core import Plan
from innerloop.deploy.agent import Agent

QUICK = {"rl2": "probe-across", "pearl": "probe-across", "maml": "probe-across", "self-tuned": "probe-across"}
SLOW = {
    "metamodel": "probe-across",
    "varibad": "probe-across",
    "metamodel-maml": "probe-across",
    "lpg": "probe-across",
    "lpo": "probe-across",
}
SLOW |= {"amago": "probe-across", "disco": "probe-across", "reptile": "probe-across", "anil": "probe-across"}


def alike(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = (jax.random.key_data(v) if jax.numpy.issubdtype(v.dtype, jax.dtypes.prng_key) else v for v in (x, y))
        np.testing.assert_allclose(x, y, **({"rtol": 2e-4, "atol": 2e-5} | tolerance))


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_an_agent_in_use_lives_what_live_lives(name):
    """The same keys: the same actions, and the same adapted state, whatever the method does with experience."""
    inner, family = small(name, (QUICK | SLOW)[name])
    restart = inner.plan.restart
    inner = inner.with_plan(Plan(chunks=2, steps=family.horizon if restart else 2 * family.horizon, streams=1, restart=restart))
    key, (key_meta, key_task) = jax.random.key(7), jax.random.split(jax.random.key(3))
    meta = inner.init(key_meta)
    task = jax.tree.map(lambda x: x[0], family.sample(key_task, 1))
    life, end = lived(inner, family, meta, task, key)
    agent = Agent(inner, meta).begin(key)
    actions = walk(agent, family, task, key)
    recorded = np.asarray(life.chunks.action).reshape(len(actions), *np.shape(actions[0]))
    space = family.spaces.action
    alike(np.asarray(actions), recorded if hasattr(space, "n") else np.clip(recorded, space.low, space.high))
    alike(jax.tree.map(lambda x: x[0], agent._fast), end.fast)
    assert agent.trial_over and agent.counts.steps == len(actions)
    assert agent.learns == (agent.counts.learned == 2)


@pytest.mark.parametrize("name", ["maml", pytest.param("self-tuned", marks=pytest.mark.slow)])
def test_one_environment_gives_a_chunk_what_streams_would(name):
    """N streams of whole episodes side by side, or the same episodes one after the other: the same step is learned."""
    inner, family = small(name, "probe-across")
    inner = inner.with_plan(Plan(chunks=1, steps=family.horizon, streams=3, restart=True))
    key_meta, key_task, key = jax.random.split(jax.random.key(0), 3)
    meta = inner.init(key_meta)
    task = jax.tree.map(lambda x: x[0], family.sample(key_task, 1))
    life, end = lived(inner, family, meta, task, key)
    agent = Agent(inner, meta)
    assert (agent.plan.steps, agent.plan.streams, agent.longest) == (3 * family.horizon, 1, family.horizon)
    chunk = jax.tree.map(lambda x: np.swapaxes(x[0], 0, 1).reshape(-1, 1, *x.shape[3:]), life.chunks)
    key_begin, key_learn = jax.random.split(life.key)
    fast = agent.inner.begin(meta, key_begin)
    fast = jax.jit(agent.inner.learn)(meta, fast, chunk, jax.random.split(key_learn, 1)[0])
    alike(fast, end.fast)


@pytest.fixture(scope="module")
def memory():
    """An agent that remembers, with untrained parameters, and its family."""
    inner, family = small("rl2", "probe-across")
    return Agent(inner, inner.init(jax.random.key(0))), family


@pytest.fixture(scope="module")
def learner():
    """An agent that learns from chunks of two whole episodes, with untrained parameters."""
    inner, family = small("maml", "point-goal")
    inner = inner.with_plan(Plan(chunks=3, steps=4, streams=2, restart=True))
    return Agent(inner, inner.init(jax.random.key(0)))


def place(x):
    return np.array([x, -x], np.float32)


def test_chunks_of_whole_episodes_end_with_one_and_mask_the_rest(learner):
    """Shorter episodes than the longest: no chunk cuts one, and rows that were not lived do not count."""
    agent = learner.copy().begin(0)
    lengths = []
    for _ in range(6):
        for t in range(3):
            agent.act(place(0.1 * t))
            agent.reward(-0.1 * t, False, t == 2, obs=place(0.1 * t + 0.1))
            if t < 2:
                lengths.append(agent._rows.mask.sum())
    assert agent.counts.learned == 3 and agent.counts.episodes == 6 and agent.trial_over
    assert max(lengths) == 5  # of 8 rows: six are lived, the last with the learning

    again = learner.copy().begin(0)  # longer episodes are refused before they spoil a chunk
    for t in range(3):
        again.act(place(0.1 * t))
        again.reward(0.0, False, False, obs=place(0.1 * t + 0.1))
    again.act(place(0.3))
    with pytest.raises(ValueError, match="not ended after 4 steps.*horizon="):
        again.reward(0.0, False, False, obs=place(0.4))


@pytest.mark.parametrize(
    ("obs", "said"),
    [
        (np.zeros(3), r"shape \(3,\), expected \(2,\).*Accepted: Box"),
        ([0.0, np.nan], "not finite"),
        (None, "observation None"),
        (["a", "b"], "expected reals"),
        ([[0.0], [1.0, 2.0]], "ragged"),
        ({"place": 1}, "expected"),
    ],
)
def test_observations_are_checked(learner, obs, said):
    agent = learner.copy().begin(0)
    with pytest.raises(ValueError, match=said):
        agent.act(obs)
    agent.act(place(0.0))  # nothing was taken in


def test_whole_numbers_are_checked(memory):
    agent = memory[0].copy().begin(0)
    for wrong, said in ((0.5, "expected integers"), (99, "outside its space")):
        with pytest.raises(ValueError, match=said):
            agent.act(wrong)
    assert isinstance(agent.act(np.int64(0)), int)


def test_rewards_are_checked_and_calls_have_an_order(learner):
    agent = learner.copy()
    for call in (lambda: agent.act(place(0)), lambda: agent.reward(0.0, False, False), lambda: agent.predict(place(0))):
        with pytest.raises(RuntimeError, match="begin"):
            call()
    with pytest.raises(ValueError, match="at_end"):
        agent.begin(at_end="stop")
    with pytest.raises(ValueError, match="seed is -1"):
        agent.begin(-1)
    agent.begin(0)
    with pytest.raises(RuntimeError, match="act first"):
        agent.reward(0.0, False, False)
    agent.act(place(0))
    with pytest.raises(RuntimeError, match="what the last action earned"):
        agent.act(place(0))
    for reward, terminated, said in ((np.nan, False, "nan"), ([1.0, 2.0], False, "number"), (0.0, "no", "a bool")):
        with pytest.raises(ValueError, match=said):
            agent.reward(reward, terminated, False)
    with pytest.raises(ValueError, match="give obs="):
        agent.reward(0.0, True, False)
    agent.reward(0.0, False, False)  # what it led to is what comes next
    agent.act(place(0.1))
    agent.reward(0.0, False, False, obs=place(0.2))
    with pytest.raises(ValueError, match="not the observation that the last action led to"):
        agent.act(place(0.0))


@pytest.mark.parametrize("stage", ["waiting", "acting", "owed", "ended"])
@pytest.mark.parametrize("kind", ["memory", "learner"])
def test_a_saved_agent_goes_on_bit_for_bit(kind, stage, tmp_path, request, monkeypatch):
    """Wherever in a step it was saved; in another process it would be the same, since nothing else is carried."""
    from innerloop.deploy import loading

    found = request.getfixturevalue(kind)
    agent = (found[0] if kind == "memory" else found).copy()
    obs = (lambda t: 0) if kind == "memory" else lambda t: place(0.1 * (t % 5))
    agent.card = {"recipe": {}, "run": "here"}
    like = jax.eval_shape(lambda: agent.meta)
    monkeypatch.setattr(loading, "made", lambda card: Agent(agent.inner, like, card=agent.card))
    agent.longest = 0
    monkeypatch.setattr("innerloop.deploy.agent.alone", lambda inner, *_: (inner, 0))
    agent.begin(5)
    for t in range(10):
        agent.act(obs(t))
        agent.reward(0.1 * t, False, False, obs=obs(t + 1))
    if stage in ("acting", "owed", "ended"):
        agent.act(obs(10), deterministic=stage == "owed")
    if stage == "owed":
        agent.reward(1.0, False, False)
    if stage == "ended":
        agent.reward(1.0, True, False, obs=obs(11))
    agent.save(tmp_path / "kept")
    other = Agent.restore(tmp_path / "kept")

    def ahead(one):
        done = []
        if stage == "acting":
            one.reward(1.0, False, False, obs=obs(11))
        start = 0 if stage == "ended" else 10 if stage == "waiting" else 11
        for t in range(start, start + 9):
            done.append(np.asarray(one.act(obs(t))).tolist())
            one.reward(-0.1, False, False, obs=obs(t + 1))
        return done

    assert ahead(agent) == ahead(other)
    ours, theirs = agent.state(), other.state()
    assert ours[1] == theirs[1]
    alike(ours[0], theirs[0], rtol=0, atol=0)


def test_what_is_no_saved_agent_is_refused(memory, tmp_path):
    from innerloop.run import sealed
    from innerloop.run.folder import FolderError

    agent = memory[0].copy()
    with pytest.raises(FolderError, match="carries no recipe"):
        agent.save(tmp_path / "a")
    agent.card = {"recipe": {}}
    with pytest.raises(RuntimeError, match="begin"):
        agent.save(tmp_path / "a")
    with pytest.raises(FolderError, match="holds no saved agent"):
        Agent.restore(tmp_path)
    sealed.save_meta(tmp_path / "other", {"x": np.zeros(1)}, {"kind": "something"})
    with pytest.raises(FolderError, match="holds no agent"):
        Agent.restore(tmp_path / "other")
    sealed.save_meta(tmp_path / "newer", {"x": np.zeros(1)}, {"kind": "agent", "agent_schema": 99})
    with pytest.raises(FolderError, match="schema 99, and this version reads 1"):
        Agent.restore(tmp_path / "newer")
    agent.begin(0).save(tmp_path / "torn")
    file = tmp_path / "torn" / "manifest.json"
    file.write_text(file.read_text().replace('"seal": "', '"seal": "0'))
    with pytest.raises(FolderError, match="SHA-256 differs"):
        Agent.restore(tmp_path / "torn")


def test_the_frozen_policy_changes_nothing(memory):
    agent = memory[0].copy().begin(0)
    for t in range(4):
        agent.act(0)
        agent.reward(1.0, False, t == 3, obs=0)
    before = agent.state()
    action, state = agent.predict(0)
    assert isinstance(action, int) and agent.copy().act(0, deterministic=True) == action
    many, later = agent.predict(np.zeros(3, int), episode_start=[True, False, True], deterministic=False)
    same, _ = agent.predict(np.zeros(3, int), episode_start=[True, False, True], deterministic=False)
    assert many == same and len(many) == 3 and later.draws == 1
    decision = agent.decide(0)
    assert int(np.argmax(decision.dist.logits)) == action and decision.value.shape == ()
    for wrong, said in ((np.zeros((0,), int), "empty batch"), (np.array([0, 99]), "outside"), ("x", "predict")):
        with pytest.raises(ValueError, match=said):
            agent.predict(wrong)
    with pytest.raises(ValueError, match="of 3 observations, and 1"):
        agent.predict(0, later)
    with pytest.raises(ValueError, match="one finite number"):
        agent.predict(0, state, reward=np.nan)
    alike(before[0], agent.state()[0], rtol=0, atol=0)


def test_what_a_frozen_memory_is_told_it_takes_in_for_an_episode(memory):
    """Told all rewards it acts as the agent would; where an episode begins it is again what adaptation made of it."""
    agent = memory[0].copy().begin(0)
    for t in range(4):
        agent.act(0)
        agent.reward(1.0, False, t == 3, obs=0)
    twin, state, start, earned = agent.copy(), None, True, None
    first = None
    for t in range(5):
        action, state = agent.predict(0, state, start, reward=earned)
        assert action == twin.act(0, deterministic=True)
        alike(state.fast, twin._fast)
        earned, start, first = float(t), False, first or state
        twin.reward(earned, False, False, obs=0)
    _, again = agent.predict(0, state, True)
    alike(again.fast, first.fast, rtol=0, atol=0)


@pytest.mark.parametrize("at_end", ["continue", "restart", "error"])
def test_what_happens_when_a_trial_is_over(memory, at_end):
    agent = memory[0].copy().begin(0, at_end=at_end)
    length = agent.plan.interactions
    for _ in range(length):
        agent.act(0)
        agent.reward(1.0, False, False, obs=0)
    if at_end == "error":
        with pytest.raises(RuntimeError, match="the trial is over"):
            agent.act(0)
        return
    assert agent.trial_over == (at_end == "continue")
    assert bool(agent._step.born[0, 0]) == (at_end == "restart")
    empty = agent.policy(True).begin(agent.meta, agent.key[None])
    forgotten = all(map(np.array_equal, jax.tree.leaves(agent._fast), jax.tree.leaves(empty)))
    assert forgotten == (at_end == "restart")
    agent.act(0)


def test_trials_of_episodes_end_within_a_life():
    """As in `core.live`: the next step is born, and the life goes on."""
    inner, family = small("rl2", "probe-across")
    inner = inner.with_plan(Plan(chunks=1, steps=3 * family.horizon, streams=1, episodes=2))
    key, key_meta = jax.random.split(jax.random.key(5))
    meta = inner.init(key_meta)
    task = jax.tree.map(lambda x: x[0], family.sample(key, 1))
    life, end = lived(inner, family, meta, task, key)
    agent = Agent(inner, meta).begin(key, at_end="restart")
    actions = walk(agent, family, task, key)
    alike(np.asarray(actions), life.chunks.action.reshape(-1))
    alike(jax.tree.map(lambda x: x[0], agent._fast), end.fast)
