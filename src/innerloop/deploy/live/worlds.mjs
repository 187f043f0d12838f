// Three worlds, as the library defines them (tasks/grid_navi.py, bandit.py, point_goal.py). Not who lives in them.

/** A hidden cell in a 5 × 5 room: 1 on it, −0.1 elsewhere; 15 steps an episode. */
export class Room {
  static actions = ["stay", "up", "right", "down", "left"];
  static moves = [[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]];
  static horizon = 15;
  constructor(goal = [4, 3]) {
    this.goal = goal;
    this.reset();
  }
  reset() {
    this.at = [0, 0];
    this.time = 0;
    return [0, 0];
  }
  step(action) {
    const [dx, dy] = Room.moves[action];
    this.at = [Math.min(Math.max(this.at[0] + dx, 0), 4), Math.min(Math.max(this.at[1] + dy, 0), 4)];
    this.time += 1;
    const reward = this.at[0] === this.goal[0] && this.at[1] === this.goal[1] ? 1 : Math.fround(-0.1);
    return { obs: [...this.at], reward, terminated: false, truncated: this.time >= Room.horizon };
  }
}

/** Arms with hidden probabilities; a trial is as many pulls as the agent was made for, and an episode here. */
export class Arms {
  constructor(chances, random, pulls) {
    this.chances = chances;
    this.random = random;
    this.pulls = pulls;
    this.reset();
  }
  reset() {
    this.time = 0;
    return [0];
  }
  step(action) {
    this.time += 1;
    return { obs: [0], reward: this.random.uniform() < this.chances[action] ? 1 : 0, terminated: false, truncated: false };
  }
}

/** A hidden place in a square: minus the distance to it; at most 100 steps an episode. */
export class Plane {
  static horizon = 100;
  constructor(goal = [0.3, 0.25]) {
    this.goal = goal;
    this.reset();
  }
  reset() {
    this.at = [0, 0];
    this.time = 0;
    return [0, 0];
  }
  step(action) {
    this.at = this.at.map((x, i) => Math.fround(x + Math.fround(0.1 * Math.min(Math.max(action[i], -1), 1))));
    this.time += 1;
    const gap = this.at.map((x, i) => x - this.goal[i]);
    const terminated = gap.every((x) => Math.abs(x) < 0.01);
    return { obs: [...this.at], reward: -Math.hypot(...gap), terminated, truncated: this.time >= Plane.horizon };
  }
}
