"""Ten and more broken environments, each with a diagnosis of its own, and a good one without."""

import pytest
from broken_walks import make

from innerloop import api
from innerloop.cli import main
from innerloop.run.settings import ConfigError
from innerloop.worlds.check import check_environment

TASKS = ({"mark": -1.0}, {"mark": 1.0}, {"mark": 0.0})
BROKEN = {
    "UnknownArgument": "make(mark=-1.0) raised TypeError",
    "NoEnvironment": "must return a gymnasium.Env",
    "Unbounded": "finite bounds",
    "WrongShape": "lies outside observation_space",
    "NotFiniteObservation": "holds NaN or infinity",
    "NotFiniteReward": "must be finite",
    "VectorReward": "must be one number",
    "OldStep": "must return (observation, reward, terminated, truncated, info)",
    "WrongFlag": "both must be bool",
    "Endless": "give --max-steps",
    "HiddenRandomness": "randomness outside reset(seed=…)",
    "ForgetsAtReset": "its task was make(mark=-1.0)",
    "OtherSpaces": "all tasks must share them",
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_mistake_has_its_own_diagnosis(name):
    found = check_environment(f"broken_walks:{name}", TASKS)
    (problem,) = found.problems
    assert BROKEN[name] in problem
    assert not any(text in problem for other, text in BROKEN.items() if other != name)


def test_tasks_that_cannot_be_told_apart_are_a_remark():
    found = check_environment("broken_walks:ForgetsAtOnce", TASKS)
    assert not found.problems and "drops the task" in found.remarks[0]


def test_a_good_one_has_none():
    assert check_environment("broken_walks:make", TASKS) == ([], [])
    assert make().mark == 0.0
    assert check_environment("broken_walks:Endless", TASKS, limit=20) == ([], [])


def test_the_command_says_it(capsys):
    assert main(["check", "--env", "broken_walks:ForgetsAtReset", "--vary", "mark=-1.0:1.0"]) == 1
    assert "✗ an episode with the same seed" in capsys.readouterr().out
    assert main(["check", "rl2", "--env", "broken_walks:make", "--episodes", "2"]) == 0
    said = capsys.readouterr().out
    assert "✓ broken_walks:make is ready" in said and "env:broken_walks:make?episodes=2" in said
    assert main(["check", "--env", "broken_walks:nothing"]) == 2
    assert main(["check", "--env", "broken_walks:make", "--vary", "mark"]) == 2
    assert main(["check", "rl2", "--vary", "mark=0:1"]) == 2


def test_training_refuses_what_is_broken(tmp_path):
    with pytest.raises(ConfigError, match="must be finite"):
        api.train("rl2", tasks="env:broken_walks:NotFiniteReward?mark=0:1", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
