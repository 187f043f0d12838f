// An exported agent at work in a browser: what run_agent.py is for Python. Not the graphs: manifest.json says what each takes.

const ARRAYS = { float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array, uint32: Uint32Array, uint8: Uint8Array };

const size = (shape) => shape.reduce((a, b) => a * b, 1);
const arrived = (name) => "arrived" + name.slice("obs".length);

/** Random numbers of one seed (mulberry32), the same in every browser. */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }
  uniform() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }
}

/** The graphs of an exported folder; `run(name, {input: array})` → {output: array}. Arrays are typed and flat. */
export class Graphs {
  static async open(ort, folder) {
    const graphs = new Graphs();
    graphs.ort = ort;
    graphs.manifest = await (await fetch(folder + "/manifest.json")).json();
    if (graphs.manifest.schema !== 1 || graphs.manifest.format !== "onnx") throw new Error(folder + " holds no agent that this page can run.");
    graphs.sessions = {};
    for (const [name, graph] of Object.entries(graphs.manifest.graphs)) {
      graphs.sessions[name] = await ort.InferenceSession.create(folder + "/" + graph.file, { executionProviders: ["wasm"] });
    }
    return graphs;
  }
  has(name) {
    return name in this.sessions;
  }
  async run(name, given) {
    const feeds = {};
    for (const port of this.manifest.graphs[name].inputs) {
      const shape = port.shape.map((n) => (n === "agents" ? 1 : n));
      const flat = given[port.name];
      if (flat === undefined || flat.length !== size(shape)) throw new Error(`${name}: ${port.name} is missing or of another size.`);
      const kind = ARRAYS[port.dtype];
      const data = flat instanceof kind ? flat : kind.from(flat, port.dtype === "int64" ? BigInt : Number);
      feeds[port.name] = new this.ort.Tensor(port.dtype, data, shape);
    }
    const out = await this.sessions[name].run(feeds);
    return Object.fromEntries(Object.entries(out).map(([key, tensor]) => [key, tensor.data]));
  }
}

/** One agent in one environment: begin, then act and reward in turn. `adapts: false`: it keeps nothing, and learns nothing. */
export class Agent {
  constructor(graphs, { adapts = true } = {}) {
    this.graphs = graphs;
    this.manifest = graphs.manifest;
    this.plan = this.manifest.plan;
    this.adapts = adapts;
    this.rowsOf = (this.manifest.graphs.learn?.inputs ?? []).filter((port) => port.role === "chunk");
  }

  async begin(seed = 0) {
    this.random = new Random(seed);
    this.state = {};
    this.said = {};
    this.chunk = this.row = this.steps = this.episodes = this.elapsed = this.learned = 0;
    await this.enter();
  }

  async act(obs, deterministic = false) {
    const seen = this.observed(obs);
    if (this.owed) await this.settle(seen);
    Object.assign(this.step, seen);
    if (this.step.born[0]) for (const [name, x] of Object.entries(seen)) this.step[arrived(name)] = x;
    if (this.graphs.has("observe")) await this.call("observe", this.step);
    this.said = await this.call("decide", this.step);
    this.taken = deterministic ? this.said.action : this.sampled();
    return this.manifest.spaces.action.kind === "discrete" ? Number(this.taken[0]) : Array.from(this.taken);
  }

  /** `obs`: what the action led to, before any reset. */
  async reward(reward, terminated, truncated, obs) {
    this.paid = reward;
    this.ends = [terminated, truncated];
    await this.settle(this.observed(obs));
  }

  /** Probabilities of the actions, as the last observation left them. */
  get probabilities() {
    if (!this.said.logits) return null;
    const top = Math.max(...this.said.logits);
    const weights = Array.from(this.said.logits, (x) => Math.exp(x - top));
    const total = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / total);
  }

  async call(name, told) {
    const given = { ...told };
    for (const port of this.manifest.graphs[name].inputs) {
      const count = size(port.shape.map((n) => (n === "agents" ? 1 : n)));
      if (port.role === "state") given[port.name] = this.state[port.of];
      else if (port.role === "noise") given[port.name] = Array.from({ length: count }, () => (port.of === "normal" ? this.random.normal() : this.random.uniform()));
      else if (port.role === "agents") given[port.name] = [1];
    }
    const out = await this.graphs.run(name, given);
    for (const port of this.manifest.graphs[name].outputs) {
      if (port.role === "state") {
        this.state[port.of] = out[port.name];
        delete out[port.name];
      }
    }
    return out;
  }

  async enter() {
    await this.call("begin", {});
    this.rows = this.spare();
    this.step = this.blank();
    this.owed = false;
  }

  blank() {
    const space = this.manifest.spaces.action;
    return { previous_action: new Array(size(space.shape ?? [])).fill(0), previous_reward: [0], first: [1], terminated: [0], born: [1] };
  }

  spare() {
    const whole = new Set(["chunk_truncated", "chunk_first"]);
    return Object.fromEntries(this.rowsOf.map((port) => [port.name, new ARRAYS[port.dtype](size(port.shape.slice(1))).fill(whole.has(port.name) ? 1 : 0)]));
  }

  async settle(seen) {
    const ended = this.ends[0] || this.ends[1];
    const [terminated, truncated] = this.ends.map((x) => [x ? 1 : 0]);
    const step = { previous_action: this.taken, previous_reward: [this.paid], first: [ended ? 1 : 0], terminated, born: [0] };
    for (const [name, x] of Object.entries(seen)) step[arrived(name)] = x;
    if (this.rowsOf.length) this.write(seen, step, terminated, truncated);
    this.step = step;
    this.row += 1;
    this.steps += 1;
    this.elapsed = ended ? 0 : this.elapsed + 1;
    this.episodes += ended ? 1 : 0;
    const left = this.plan.steps - this.row;
    if (left === 0 || (this.plan.longest && ended && left < this.plan.longest)) {
      if (this.graphs.has("learn") && this.adapts) {
        await this.call("learn", this.rows);
        this.learned += 1;
      }
      this.rows = this.spare();
      this.chunk = (this.chunk + 1) % this.plan.chunks;
      this.row = 0;
    }
    if (!this.adapts && ended && !this.graphs.has("learn")) {
      this.state = {};
      await this.enter();
    }
  }

  write(seen, step, terminated, truncated) {
    const made = { chunk_action: this.taken, chunk_value: this.said.value, chunk_reward: step.previous_reward, chunk_log_prob: [this.logProb()] };
    Object.assign(made, { chunk_terminated: terminated, chunk_truncated: truncated, chunk_mask: [1], chunk_previous_terminated: this.step.terminated });
    for (const [name, x] of Object.entries(this.step)) made["chunk_" + name] ??= x;
    for (const [name, x] of Object.entries(seen)) made["chunk_next_" + name] = x;
    for (const [name, x] of Object.entries(this.said)) made["chunk_dist_" + name] = x;
    for (const [name, rows] of Object.entries(this.rows)) rows.set(made[name], this.row * made[name].length);
  }

  sampled() {
    const { said, manifest } = this;
    if (manifest.distribution === "categorical") {
      let best = 0;
      let most = -Infinity;
      said.logits.forEach((x, i) => {
        const noisy = x - Math.log(-Math.log(Math.max(this.random.uniform(), 1e-12)));
        if (noisy > most) [most, best] = [noisy, i];
      });
      return [best];
    }
    const drawn = Array.from(said.mean, (x, i) => Math.fround(x + Math.exp(said.log_std[i]) * this.random.normal()));
    if (manifest.distribution === "normal") return drawn;
    return drawn.map((u, i) => said.low[i] + 0.5 * (said.high[i] - said.low[i]) * (Math.tanh(u) + 1));
  }

  logProb() {
    const { said, manifest, taken } = this;
    if (manifest.distribution === "categorical") return Math.log(this.probabilities[Number(taken[0])]);
    let total = 0;
    Array.from(taken).forEach((action, i) => {
      let u = action;
      let stretch = 0;
      if (manifest.distribution === "tanh_normal") {
        const half = 0.5 * (said.high[i] - said.low[i]);
        const y = Math.min(Math.max((action - said.low[i]) / half - 1, -1 + 1e-6), 1 - 1e-6);
        u = Math.atanh(y);
        stretch = Math.log(1 - y * y) + Math.log(half);
      }
      const z = (u - said.mean[i]) * Math.exp(-said.log_std[i]);
      total += -0.5 * z * z - said.log_std[i] - 0.5 * Math.log(2 * Math.PI) - stretch;
    });
    return total;
  }

  observed(obs) {
    if (this.manifest.spaces.obs.kind === "dict" || this.manifest.spaces.obs.kind === "tuple") throw new Error("this page shows agents with one array to observe.");
    return { obs: Array.isArray(obs) ? obs : [obs] };
  }
}
