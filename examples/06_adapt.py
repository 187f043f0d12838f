"""A newcomer's environment, and an agent of the zoo that adapts to it: where in the room is the goal?

From a terminal beside this file: `innerloop adapt zoo:rl2-grid-navi --env 06_adapt:Room --video`.
"""

import gymnasium
import numpy as np

import innerloop

MOVES = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)])  # stay, up, right, down, left: as the agent has learned them


class Room(gymnasium.Env):
    """5 × 5 cells, one of which pays; nothing that is seen tells which."""

    observation_space = gymnasium.spaces.Box(0, 4, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(5)

    def __init__(self, x=2, y=4, render_mode=None):
        self.goal, self.render_mode = (x, y), render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell, self.time = np.zeros(2, np.float32), 0
        return self.cell, {}

    def step(self, action):
        self.cell, self.time = np.clip(self.cell + MOVES[action], 0, 4).astype(np.float32), self.time + 1
        return self.cell, 1.0 if tuple(self.cell) == self.goal else -0.1, False, self.time >= 15, {}

    def render(self):  # for --video alone
        picture = np.full((5, 5, 3), 255, np.uint8)
        picture[4 - self.goal[1], self.goal[0]] = 120, 200, 120
        picture[4 - int(self.cell[1]), int(self.cell[0])] = 40, 60, 160
        return picture.repeat(24, axis=0).repeat(24, axis=1)


if __name__ == "__main__":
    env, agent = Room(), innerloop.load("zoo:rl2-grid-navi")
    agent.begin(seed=0)
    for episode in range(4):
        obs, over, earned = env.reset()[0], False, 0.0
        while not over:
            obs, reward, terminated, truncated, _ = env.step(agent.act(obs))
            agent.reward(reward, terminated, truncated, obs=obs)
            earned, over = earned + reward, terminated or truncated
        print(f"episode {episode}: {earned:.1f} of 15 at most")
    agent.save("adapted/room")
    again = innerloop.Agent.restore("adapted/room")  # the next process goes on
    print("both go on alike:", again.act(env.reset()[0]) == agent.act(env.reset()[0]))
