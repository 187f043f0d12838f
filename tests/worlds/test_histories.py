"""Histories: what was lived comes back, damage is told, a kill while writing leaves nothing, and windows are lives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.core import Box, Discrete, Plan, Spaces, Task
from innerloop.inner.indifferent import Indifferent
from innerloop.tasks import PointGoal
from innerloop.tasks.names import family
from innerloop.worlds import DeviceWorld
from innerloop.worlds.histories import Histories, HistoryError, Recorder
from innerloop.worlds.windows import HistoryWorld

FAMILY = family("probe-across")  # episodes of 2 steps
STEPS, COUNT = 12, 5
ABOUT = {"family": FAMILY.name, "split": "train", "teacher": {"name": "random"}}


def lives(tasks=FAMILY, count=COUNT, seed=0):
    inner = Indifferent(Plan(1, STEPS, 1), tasks.spaces)
    drawn = tasks.sample(jax.random.key(seed), count)
    return jax.jit(lambda key: DeviceWorld(tasks).live(inner, (), drawn, key)[0])(jax.random.key(seed + 1))


def kept(folder, tasks=FAMILY, seed=0, **about):
    with Recorder(folder, ABOUT | {"family": tasks.name} | about, tasks.spaces, COUNT, STEPS) as recorder:
        found = lives(tasks, seed=seed)
        recorder.write(jax.tree.map(lambda x: x[:3], found))  # in two batches
        recorder.write(jax.tree.map(lambda x: x[3:], found))
    return found


@pytest.mark.parametrize("tasks", [FAMILY, PointGoal()], ids=lambda f: f.name)
def test_what_was_lived_comes_back(tasks, tmp_path: Path):
    found = kept(tmp_path, tasks)
    histories = Histories(tmp_path, tasks.spaces, verify=True)
    assert (len(histories), histories.steps, histories.family, histories.split) == (COUNT, STEPS, tasks.name, "train")
    world = HistoryWorld(histories, tasks)
    inner = Indifferent(Plan(1, STEPS, 1), tasks.spaces)
    cut, _ = world.live(inner, (), tasks.sample(jax.random.key(9), COUNT), jax.random.key(4))
    taken = np.asarray(found.chunks.action)
    order = [int(np.flatnonzero((taken == a).reshape(COUNT, -1).all(1))[0]) for a in np.asarray(cut.chunks.action)]
    assert sorted(order) == list(range(COUNT))
    back = jax.tree.map(lambda x: x[np.array(order)], found)
    silent = {"dist": (), "log_prob": (), "value": ()}
    mine, theirs = cut.chunks._replace(**silent), back.chunks._replace(**silent)
    if tasks is FAMILY:  # a history that ends with an episode does not know where the next would begin
        assert back.last.first.all() and (np.asarray(cut.last.obs) == np.asarray(cut.last.arrived)).all()
        back = back._replace(last=back.last._replace(obs=cut.last.obs))
    for a, b in zip(jax.tree.leaves((mine, cut.last, cut.task)), jax.tree.leaves((theirs, back.last, back.task)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(cut.chunks) == jax.tree.structure(back.chunks) or tasks.name == "point-goal"


def test_parts_are_added_and_those_of_other_families_refused(tmp_path: Path):
    kept(tmp_path)
    first = Histories(tmp_path, FAMILY.spaces)
    kept(tmp_path, seed=7)
    both = Histories(tmp_path, FAMILY.spaces, verify=True)
    assert len(both) == 2 * COUNT and both.digest != first.digest
    np.testing.assert_array_equal(both.flags(1), first.flags(1))
    with pytest.raises(HistoryError, match="family 'probe-across'.*'point-goal'"):
        kept(tmp_path, PointGoal())
    with pytest.raises(HistoryError, match="split 'train'.*'test'"):
        kept(tmp_path, split="test")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part-00000", "part-00001"]


def header(part: Path, **change):
    path = part / "header.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def cut_short(part: Path):
    data = (part / "reward.npy").read_bytes()
    (part / "reward.npy").write_bytes(data[: len(data) // 2])


def flipped(part: Path):
    data = bytearray((part / "reward.npy").read_bytes())
    data[-2] ^= 1
    (part / "reward.npy").write_bytes(data)


DAMAGES = {
    "header lost": (lambda p: (p / "header.json").unlink(), "no header.json"),
    "header no JSON": (lambda p: (p / "header.json").write_text("{"), "not the header"),
    "header a list": (lambda p: (p / "header.json").write_text("[]"), "not the header"),
    "other schema": (lambda p: header(p, schema=99), "schema 99; this version reads 1"),
    "no histories": (lambda p: header(p, count=0), "count and steps"),
    "more said than there": (lambda p: header(p, count=6), r"holds .*\[5, 12\].* says .*\[6, 12\]"),
    "file lost": (lambda p: (p / "obs-0.npy").unlink(), "obs-0.npy cannot be read"),
    "file cut short": (cut_short, "reward.npy cannot be read"),
    "file no array": (lambda p: (p / "flags.npy").write_bytes(b"none"), "flags.npy cannot be read"),
    "a bit flipped": (flipped, "reward.npy is not what was written"),
    "a name outside": (
        lambda p: header(p, leaves=json.loads((p / "header.json").read_text())["leaves"] | {"../x": {}}),
        "none of ours",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told(damage, tmp_path: Path):
    kept(tmp_path)
    act, says = DAMAGES[damage]
    act(tmp_path / "part-00000")
    with pytest.raises(HistoryError, match=says):
        Histories(tmp_path, FAMILY.spaces, verify=True)


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path):
    kept(tmp_path)
    np.save(tmp_path / "part-00000" / "reward.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(HistoryError, match="reward.npy cannot be read"):
        Histories(tmp_path, FAMILY.spaces)


def test_other_spaces_and_nothing_at_all_are_refused(tmp_path: Path):
    with pytest.raises(HistoryError, match="holds no histories; make some with `innerloop record"):
        Histories(tmp_path / "absent", FAMILY.spaces)
    kept(tmp_path)
    with pytest.raises(HistoryError, match="of another family or version"):
        Histories(tmp_path, Spaces(Box((2,)), Discrete(2)))
    with pytest.raises(HistoryError, match="has no next-1, obs-1"):
        Histories(tmp_path, Spaces((Discrete(2), Discrete(2)), Discrete(2)))


def test_reading_stays_within_bounds(tmp_path: Path):
    kept(tmp_path)
    histories = Histories(tmp_path, FAMILY.spaces)
    for asked in (-1, COUNT):
        with pytest.raises(HistoryError, match=f"history {asked} was asked for; .* holds 5"):
            histories.flags(asked)
    with pytest.raises(HistoryError, match="steps 3 to 12 were asked for"):
        histories.rows(0, np.array([3, 12]))
    path = tmp_path / "part-00000" / "action-0.npy"
    values = np.load(path)
    values[2, 4] = 7
    np.save(path, values)
    with pytest.raises(HistoryError, match=r"action-0.npy holds 7 in history 2; accepted: 0 to 1"):
        Histories(tmp_path, FAMILY.spaces).rows(2, np.arange(6))


def test_an_exception_or_a_part_not_filled_leaves_nothing(tmp_path: Path):
    with pytest.raises(HistoryError, match="3 of 5 histories were recorded"):
        with Recorder(tmp_path, ABOUT, FAMILY.spaces, COUNT, STEPS) as recorder:
            recorder.write(lives(count=3))
    with pytest.raises(KeyboardInterrupt):
        with Recorder(tmp_path, ABOUT, FAMILY.spaces, COUNT, STEPS) as recorder:
            recorder.write(lives(count=3))
            raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with pytest.raises(HistoryError, match="6 histories were given to a part of 5"):
        with Recorder(tmp_path, ABOUT, FAMILY.spaces, COUNT, STEPS) as recorder:
            recorder.write(lives(count=6))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_histories as t
from innerloop.worlds import histories
if sys.argv[3] == "midst":
    with t.Recorder(Path(sys.argv[2]), t.ABOUT, t.FAMILY.spaces, t.COUNT, t.STEPS) as recorder:
        recorder.write(t.lives(count=3))
        os.kill(os.getpid(), signal.SIGKILL)
os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
t.kept(Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["midst", "end"])
def test_a_kill_while_writing_leaves_what_was_there_and_nothing_that_reads(moment, tmp_path: Path):
    kept(tmp_path)
    whole = Histories(tmp_path, FAMILY.spaces).digest
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), moment]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert len(list(tmp_path.iterdir())) == 2  # and what was being written
    assert Histories(tmp_path, FAMILY.spaces, verify=True).digest == whole
    kept(tmp_path, seed=3)  # sweeps it away
    assert sorted(p.name for p in tmp_path.iterdir()) == ["part-00000", "part-00001"]


def window(tmp_path, steps, thin=1, key=0, streams=1, chunks=1):
    world = HistoryWorld(Histories(tmp_path, FAMILY.spaces), FAMILY, thin)
    inner = Indifferent(Plan(chunks, steps, streams), FAMILY.spaces)
    world.check(inner.plan)
    return world.live(inner, (), Task(jnp.zeros(8, jnp.int32), jnp.zeros(8, jnp.int32)), jax.random.key(key))[0]


def test_windows_begin_with_an_episode_and_are_chosen_by_the_key(tmp_path: Path):
    kept(tmp_path)
    cut = window(tmp_path, 3, streams=2, chunks=2)
    assert cut.chunks.action.shape == (8, 2, 3, 2) and cut.last.obs.shape == (8, 2)
    step = cut.chunks.step
    assert step.born[:, 0, 0].all() and step.born.sum() == 16 and step.first[:, 0, 0].all()
    assert not step.reward[:, 0, 0].any() and not step.action[:, 0, 0].any()
    np.testing.assert_array_equal(step.action[:, 0, 1:], cut.chunks.action[:, 0, :-1])
    np.testing.assert_array_equal(step.reward[:, 1, 0], cut.chunks.reward[:, 0, -1])
    same, other = window(tmp_path, 3, streams=2, chunks=2), window(tmp_path, 3, key=1, streams=2, chunks=2)
    np.testing.assert_array_equal(cut.chunks.action, same.chunks.action)
    assert (np.asarray(cut.chunks.action) != other.chunks.action).any()


def test_thinned_histories_keep_whole_episodes(tmp_path: Path):
    found = kept(tmp_path)
    cut = window(tmp_path, 4, thin=3)  # episodes 0 and 3 of six
    rows = np.concatenate([np.arange(0, 2), np.arange(6, 8)])
    wanted = {tuple(a) for a in np.asarray(found.chunks.action)[:, 0, rows, 0]}
    assert {tuple(a) for a in np.asarray(cut.chunks.action)[:, 0, :, 0]} <= wanted
    with pytest.raises(HistoryError, match=r"windows of 6 steps .* keeps 4 \(thin = 3\)"):
        window(tmp_path, 6, thin=3)
