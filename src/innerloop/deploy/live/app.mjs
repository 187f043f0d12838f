// The page: two lanes in one hidden task, one agent that adapts and one that forgets. Not the agents, nor their worlds.

import * as ort from "./runtime/ort.wasm.min.mjs";
import { Agent, Graphs, Random } from "./agent.mjs";
import { Arms, Plane, Room } from "./worlds.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
ort.env.logLevel = "error";

const SPEEDS = [1, 2, 5, 15, 50, 200, 1000]; // steps a second
const $ = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const number = (x) => (Math.abs(x) < 100 ? x.toFixed(2) : x.toFixed(0)).replace("-", "−");

const KINDS = {
  room: {
    about: "A cell of the room pays 1 a step, every other costs 0.1. Click a cell to hide the goal there. Shaded cells are where it can still be, from all that this agent has seen; the arrows are what it may do next. An episode has 15 steps.",
    unit: "episode",
    range: [-1.5, 12],
    make: (lane) => new Room([...scene.goal]),
    task: (random) => {
      const goals = [];
      for (let x = 0; x < 5; x++) for (let y = 0; y < 5; y++) if (x > 1 || y > 1) goals.push([x, y]);
      return goals[Math.floor(random.uniform() * goals.length)];
    },
    first: [4, 3],
    ends: (lane, out) => out.truncated,
    best: () => {
      const away = scene.goal[0] + scene.goal[1];
      return 16 - away - 0.1 * (away - 1);
    },
    says: (lane) => (lane.found ? "It has seen the goal." : `${lane.possible.size} cells are still possible.`),
    draw: drawRoom,
  },
  arms: {
    about: "Each arm pays 1 with a probability of its own. Move the sliders. Bars are what this agent can know of each arm: the mean of the posterior, with its deviation; below stand its pulls and the chance of each arm being pulled next.",
    unit: "ten pulls",
    range: [0, 10.5],
    make: (lane) => new Arms(scene.goal, new Random(lane.seed + 17), lane.agent.plan.steps * lane.agent.plan.chunks),
    task: (random) => Array.from({ length: 5 }, () => Math.round(20 * random.uniform()) / 20),
    first: [0.1, 0.3, 0.85, 0.5, 0.2],
    ends: (lane, out) => lane.world.time % 10 === 0,
    best: () => 10 * Math.max(...scene.goal),
    says: (lane) => `${lane.pulls.reduce((a, b) => a + b, 0)} pulls, ${lane.wins.reduce((a, b) => a + b, 0)} of which paid.`,
    draw: drawArms,
  },
  plane: {
    about: "Every step costs the distance to a hidden place. Drag the green place. This agent learns by gradient steps: it lives some episodes, takes a step, and lives on; paths are those since the last step.",
    unit: "gradient step",
    speed: 6,
    range: [-60, 0],
    make: (lane) => new Plane([...scene.goal]),
    task: (random) => [random.uniform() - 0.5, random.uniform() - 0.5].map((x) => Math.round(100 * x) / 100),
    first: [0.3, 0.25],
    ends: (lane, out) => lane.agent.row === 0,
    best: null,
    says: (lane) => `Gradient steps: ${lane.agent.learned}; episodes lived: ${lane.agent.episodes}.`,
    draw: drawPlane,
  },
};

const loaded = {};
let scene = null;
let playing = false;
let generation = 0;
let busy = Promise.resolve();

async function graphs(name) {
  loaded[name] ??= await Graphs.open(ort, "agents/" + name);
  return loaded[name];
}

/** One agent in its own copy of the world. */
async function lane(name, adapts, seed) {
  const one = { name, adapts, seed, agent: new Agent(await graphs(name), { adapts }), returns: [], earned: 0, episode: 0, lived: 0 };
  await one.agent.begin(seed);
  one.world = KINDS[name].make(one);
  one.obs = one.world.reset();
  one.paths = [[one.obs]];
  one.possible = new Set(Array.from({ length: 25 }, (_, i) => i).filter((i) => i % 5 > 1 || i >= 10));
  one.found = false;
  one.pulls = [0, 0, 0, 0, 0];
  one.wins = [0, 0, 0, 0, 0];
  return one;
}

async function advance(one) {
  const kind = KINDS[one.name];
  const action = await one.agent.act(one.obs);
  const out = one.world.step(action);
  await one.agent.reward(out.reward, out.terminated, out.truncated, out.obs);
  one.earned += out.reward;
  one.lived += 1;
  one.paths.at(-1).push(out.obs);
  if (one.name === "room") see(one, out);
  if (one.name === "arms") {
    one.pulls[action] += 1;
    one.wins[action] += out.reward;
  }
  one.obs = out.obs;
  const over = out.terminated || out.truncated;
  if (over) {
    one.episode += 1;
    one.obs = one.world.reset();
    one.paths.push([one.obs]);
    if (one.name === "room" && !one.adapts) {
      one.possible = new Set(Array.from({ length: 25 }, (_, i) => i).filter((i) => i % 5 > 1 || i >= 10));
      one.found = false;
    }
  }
  if (kind.ends(one, out)) {
    const episodes = one.name === "plane" ? Math.max(one.episode - (one.counted ?? 0), 1) : 1;
    one.counted = one.episode;
    one.returns.push(one.earned / episodes);
    one.earned = 0;
    if (one.name === "plane") one.paths = [one.paths.at(-1)];
    if (one.name === "arms" && one.world.time >= one.world.pulls && !over) playing = false;
  }
  if (one.name === "arms" && !one.adapts && one.world.time % 10 === 0) await one.agent.begin(one.seed + one.world.time);
}

function see(one, out) {
  const cell = out.obs[0] + 5 * out.obs[1];
  if (out.reward > 0) {
    one.possible = new Set([cell]);
    one.found = true;
  } else one.possible.delete(cell);
}

async function open(name, goal, seed = Math.floor(1e6 * Math.random())) {
  generation += 1;
  const kind = KINDS[name];
  if (scene?.name !== name) $("speed").value = kind.speed ?? 2;
  scene = { name, goal: goal ?? [...kind.first], seed };
  scene.lanes = [await lane(name, true, seed), await lane(name, false, seed)];
  $("about").textContent = kind.about;
  $("returns-title").textContent = name === "plane" ? "Mean return of an episode, before each gradient step" : `Returns by ${kind.unit}`;
  for (const tab of document.querySelectorAll("[role=tab]")) tab.setAttribute("aria-selected", String(tab.id === "tab-" + name));
  $("stage").setAttribute("aria-labelledby", "tab-" + name);
  sliders();
  draw();
}

function sliders() {
  const span = $("arms");
  span.hidden = scene.name !== "arms";
  if (span.hidden || span.children.length) {
    if (!span.hidden) span.querySelectorAll("input").forEach((input, i) => (input.value = scene.goal[i]));
    return;
  }
  scene.goal.forEach((p, i) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "range", min: 0, max: 1, step: 0.05, value: p, id: "arm-" + i });
    label.append(`arm ${i + 1} `, input);
    input.addEventListener("change", () => queue(() => open("arms", [...span.querySelectorAll("input")].map((x) => Number(x.value)))));
    span.append(label);
  });
}

/** Whatever touches agents waits for what came before it. */
function queue(work) {
  busy = busy.then(work, work).catch((error) => {
    playing = false;
    $("status").textContent = String(error.message ?? error);
  });
  return busy;
}

function draw() {
  const kind = KINDS[scene.name];
  scene.lanes.forEach((one, i) => {
    const which = i === 0 ? "with" : "without";
    const canvas = $(which + "-world");
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    kind.draw(pen, one, canvas.width, colour(which));
    $(which + "-says").textContent = `${kind.says(one)} Steps: ${one.lived}.`;
  });
  drawReturns();
  $("play").textContent = playing ? "Pause" : "Play";
}

function drawRoom(pen, one, width, ink) {
  const side = width / 5;
  const centre = ([x, y]) => [(x + 0.5) * side, width - (y + 0.5) * side];
  for (let x = 0; x < 5; x++) {
    for (let y = 0; y < 5; y++) {
      const [cx, cy] = centre([x, y]);
      pen.fillStyle = one.possible.has(x + 5 * y) ? colour("hint") : colour("card");
      pen.fillRect(cx - side / 2, cy - side / 2, side, side);
      pen.strokeStyle = colour("line");
      pen.strokeRect(cx - side / 2, cy - side / 2, side, side);
    }
  }
  const [gx, gy] = centre(scene.goal);
  pen.strokeStyle = colour("goal");
  pen.lineWidth = 4;
  pen.beginPath();
  pen.arc(gx, gy, side * 0.32, 0, 7);
  pen.stroke();
  path(pen, one.paths.at(-1).map(centre), ink, 3);
  const [x, y] = centre(one.world.at);
  (one.agent.probabilities ?? []).forEach((p, action) => {
    const [dx, dy] = Room.moves[action];
    pen.strokeStyle = ink;
    pen.lineWidth = 1 + 8 * p;
    pen.globalAlpha = 0.2 + 0.8 * p;
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(x + 0.45 * side * dx * p, y - 0.45 * side * dy * p);
    pen.stroke();
    pen.globalAlpha = 1;
  });
  dot(pen, x, y, side * 0.16, ink);
}

function drawArms(pen, one, width, ink) {
  const wide = width / 5;
  const floor = width - 90;
  pen.font = "15px system-ui, sans-serif";
  pen.textAlign = "center";
  scene.goal.forEach((p, i) => {
    const [a, b] = [1 + one.wins[i], 1 + one.pulls[i] - one.wins[i]];
    const mean = a / (a + b);
    const deviation = Math.sqrt((a * b) / ((a + b) ** 2 * (a + b + 1)));
    const x = wide * (i + 0.5);
    const y = (q) => floor - q * (floor - 20);
    pen.fillStyle = colour("hint");
    pen.fillRect(x - wide * 0.3, y(mean), wide * 0.6, floor - y(mean));
    pen.strokeStyle = ink;
    pen.lineWidth = 3;
    pen.beginPath();
    pen.moveTo(x, y(Math.min(mean + deviation, 1)));
    pen.lineTo(x, y(Math.max(mean - deviation, 0)));
    pen.stroke();
    pen.strokeStyle = colour("goal");
    pen.lineWidth = 4;
    pen.beginPath();
    pen.moveTo(x - wide * 0.4, y(p));
    pen.lineTo(x + wide * 0.4, y(p));
    pen.stroke();
    pen.fillStyle = colour("ink");
    pen.fillText(String(one.pulls[i]), x, floor + 22);
    const next = one.agent.probabilities?.[i] ?? 0.2;
    pen.fillStyle = ink;
    pen.fillRect(x - wide * 0.3, floor + 34, wide * 0.6 * next, 14);
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    pen.strokeRect(x - wide * 0.3, floor + 34, wide * 0.6, 14);
    pen.fillStyle = colour("quiet");
    pen.fillText(`arm ${i + 1}`, x, floor + 72);
  });
}

function drawPlane(pen, one, width, ink) {
  const place = ([x, y]) => [width * (0.5 + x / 1.6), width * (0.5 - y / 1.6)];
  pen.strokeStyle = colour("line");
  const [left, top] = place([-0.5, 0.5]);
  const [right, bottom] = place([0.5, -0.5]);
  pen.strokeRect(left, top, right - left, bottom - top);
  one.paths.forEach((one_path, i, all) => {
    pen.globalAlpha = i === all.length - 1 ? 1 : 0.25;
    path(pen, one_path.map(place), ink, i === all.length - 1 ? 2.5 : 1);
  });
  pen.globalAlpha = 1;
  dot(pen, ...place(scene.goal), 11, colour("goal"));
  dot(pen, ...place(one.world.at), 7, ink);
}

function path(pen, points, ink, width) {
  pen.strokeStyle = ink;
  pen.lineWidth = width;
  pen.lineJoin = "round";
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}

function dot(pen, x, y, radius, ink) {
  pen.fillStyle = ink;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

function drawReturns() {
  const canvas = $("returns");
  const pen = canvas.getContext("2d");
  const kind = KINDS[scene.name];
  const [low, high] = kind.range;
  const y = (r) => 10 + (canvas.height - 34) * (1 - (Math.min(Math.max(r, low), high) - low) / (high - low));
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const count = Math.max(12, ...scene.lanes.map((one) => one.returns.length));
  const wide = canvas.width / count;
  pen.font = "13px system-ui, sans-serif";
  pen.textAlign = "center";
  scene.lanes.forEach((one, i) => {
    one.returns.forEach((r, n) => {
      pen.fillStyle = colour(i === 0 ? "with" : "without");
      const base = y(Math.min(Math.max(0, low), high));
      pen.fillRect(wide * (n + 0.16 + 0.35 * i), Math.min(y(r), base), wide * 0.3, Math.max(Math.abs(base - y(r)), 2));
    });
  });
  pen.fillStyle = colour("quiet");
  for (let n = 0; n < count; n += Math.ceil(count / 12)) pen.fillText(String(n), wide * (n + 0.5), canvas.height - 6);
  const best = kind.best?.();
  if (best !== undefined) {
    pen.strokeStyle = colour("goal");
    pen.setLineDash([6, 5]);
    pen.beginPath();
    pen.moveTo(0, y(best));
    pen.lineTo(canvas.width, y(best));
    pen.stroke();
    pen.setLineDash([]);
  }
  const last = scene.lanes.map((one) => one.returns.at(-1));
  $("best").textContent =
    (best === undefined ? "" : `– – who knows the task: ${number(best)}. `) +
    (last[0] === undefined || last[1] === undefined ? "" : `Last: ${number(last[0])} and ${number(last[1])}.`);
}

/** `count` steps in both lanes. */
async function run(count) {
  for (let i = 0; i < count; i++) for (const one of scene.lanes) await advance(one);
  draw();
}

async function play() {
  const mine = generation;
  let due = performance.now();
  while (playing && mine === generation) {
    const rate = SPEEDS[Number($("speed").value)];
    const steps = Math.max(1, Math.round(rate / 30));
    await queue(() => (playing && mine === generation ? run(steps) : undefined));
    due = Math.max(due + (1000 * steps) / rate, performance.now());
    await new Promise((done) => setTimeout(done, Math.max(due - performance.now(), 0)));
  }
  if (mine === generation) draw();
}

function place(event) {
  const box = event.target.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
}

for (const id of ["with-world", "without-world"]) {
  let dragged = false;
  const move = (event) => {
    const [u, v] = place(event);
    if (scene.name === "plane") {
      scene.goal = [u, v].map((x) => Math.min(Math.max(1.6 * (x - 0.5), -0.5), 0.5));
      draw();
    }
  };
  $(id).addEventListener("pointerdown", (event) => {
    dragged = scene.name === "plane";
    if (dragged) {
      event.target.setPointerCapture(event.pointerId);
      move(event);
    }
  });
  $(id).addEventListener("pointermove", (event) => dragged && move(event));
  $(id).addEventListener("pointerup", (event) => {
    if (dragged) {
      dragged = false;
      restart("plane", scene.goal);
    } else if (scene.name === "room") {
      const cell = place(event).map((x) => Math.min(Math.floor(5 * x), 4));
      if (cell[0] > 1 || cell[1] > 1) restart("room", cell);
      else $("status").textContent = "The goal never lies in the four cells around the start.";
    }
  });
}

function restart(name, goal) {
  const was = playing;
  queue(() => open(name, goal)).then(() => {
    $("status").textContent = "Another task; both agents begin anew, and neither was told.";
    if (was) {
      playing = true;
      play();
    }
  });
}

for (const name of Object.keys(KINDS)) {
  $("tab-" + name).addEventListener("click", () => {
    playing = false;
    queue(() => open(name)).then(() => ($("status").textContent = ""));
  });
}
$("play").addEventListener("click", () => {
  playing = !playing;
  draw();
  if (playing) play();
});
$("step").addEventListener("click", () => queue(() => run(1)));
$("fresh").addEventListener("click", () => restart(scene.name, KINDS[scene.name].task(new Random(Math.floor(1e6 * Math.random())))));

queue(() => open("room")).then(() => {
  if (scene) $("status").textContent = "";
  document.body.dataset.ready = scene ? "yes" : "no";
});

// For tests: a scripted life, acted by the mode; what it did and what its graphs said at every step.
window.demo = {
  open: (name, goal, seed) => queue(() => open(name, goal, seed)),
  run: (count) => queue(() => run(count)),
  returns: () => scene.lanes.map((one) => one.returns),
  steps: () => scene.lanes.map((one) => one.lived),
  async replay(name, rows) {
    const agent = new Agent(await graphs(name));
    await agent.begin(0);
    const said = [];
    for (const row of rows) {
      await agent.act(row.obs, true);
      said.push(Array.from(agent.said.logits ?? agent.said.mean));
      await agent.reward(row.reward, row.terminated, row.truncated, row.arrived);
    }
    return { said, learned: agent.learned };
  },
};
