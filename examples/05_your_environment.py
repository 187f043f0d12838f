"""Ten lines: a Gymnasium environment, what varies in it, RL² trained on it, and its adaptation measured.

From a terminal beside this file: `innerloop train rl2 --env 05_your_environment:make --steps 200000`.
"""

import gymnasium

import innerloop


def make(push):
    env = gymnasium.make("CartPole-v1", max_episode_steps=50)
    env.unwrapped.force_mag = push  # the hidden task: how hard, and which way, an action pushes
    return env


make.varies = {"push": [-12.0, -10.0, -8.0, 8.0, 10.0, 12.0]}

if __name__ == "__main__":
    small = {"meta_batch": 16, "outer.minibatches": 4, "evaluations": 1, "held_out": 4}
    run = innerloop.train("rl2", tasks="env:05_your_environment:make", steps=24_000, settings=small, quiet=True)
    for point in run.evaluate(tasks=8, baselines=False)["curve"]:
        print(f"episode {point['experience']}: balanced for {point['mean']:.0f} steps of 50")
