"""What the published DiscoRL makes of random experience, for tests/inner/test_discovered_rule.py to compare with.

Run where github.com/google-deepmind/disco_rl is importable with its requirements, in an environment of its own:

    PYTHONPATH=disco_rl python benchmarks/disco_reference.py tests/inner/disco_reference.npz

Not a benchmark of speed. Its random weights are small; two updates follow each other, so that what the rule remembers counts.
"""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
from disco_rl import agent, types
from disco_rl.update_rules.disco import DiscoUpdateRule, get_input_option

T, B, A, P, H, M, BINS = 5, 3, 4, 6, 5, 3, 7
NET = dict(
    name="lstm",
    prediction_size=P,
    hidden_size=H,
    embedding_size=(16, 1),
    policy_target_channels=(16,),
    policy_channels=(16, 2),
    output_stddev=0.3,
    aux_stddev=0.3,
    policy_target_stddev=0.3,
    state_stddev=1.0,
    meta_rnn_kwargs=dict(policy_channels=(16, 2), embedding_size=(16,), pred_embedding_size=(16, 1), hidden_size=M),
    input_option=get_input_option(),
)


def main(path: str) -> None:
    rng = np.random.default_rng(0)
    rule = DiscoUpdateRule(net=agent.config_dict.ConfigDict(NET), value_discount=0.997, num_bins=BINS, max_abs_value=4.0)
    shapes, _ = rule.init_params(jax.random.PRNGKey(0))
    weights = jax.tree.map(lambda x: (0.5 * rng.normal(size=x.shape)).astype(np.float32), dict(shapes))
    found = {f"rule/{module}/{name}": x for module, parts in weights.items() for name, x in parts.items()}

    def outlook() -> dict[str, np.ndarray]:
        sizes = {"logits": (A,), "y": (P,), "z": (A, P), "aux_pi": (A, A), "q": (A, BINS)}
        return {name: rng.normal(size=(T + 1, B, *size)).astype(np.float32) for name, size in sizes.items()}

    state = rule.init_meta_state(jax.random.PRNGKey(0), jnp.zeros(()))
    hyper = agent.get_settings_disco().hyper_params.to_dict()
    for update in range(2):
        now, slow = outlook(), outlook()
        data = {
            "action": rng.integers(A, size=(T + 1, B)).astype(np.int32),
            "reward": (3 * rng.normal(size=(T, B))).astype(np.float32),
            "terminal": rng.random((T, B)) < 0.3,
            "behaviour": rng.normal(size=(T + 1, B, A)).astype(np.float32),
        }
        inputs = types.UpdateRuleInputs(
            observations=jnp.zeros((T + 1, B, 1)),
            actions=data["action"],
            rewards=data["reward"],
            is_terminal=data["terminal"],
            agent_out=now,
            behaviour_agent_out={"logits": data["behaviour"]},
        )
        made, state = rule.unroll_meta_net(
            weights, jnp.zeros(()), {}, state, inputs, hyper, lambda *_, out=slow: (out, {}), jax.random.PRNGKey(0)
        )
        by_meta, _ = rule.agent_loss(inputs, made, hyper, backprop=False)
        without, _ = rule.agent_loss_no_meta(inputs, made, hyper)
        data |= {f"now/{name}": x for name, x in now.items()} | {f"slow/{name}": x for name, x in slow.items()}
        data |= {f"made/{name}": made[name] for name in ("pi", "y", "z", "q_target", "normalized_adv")}
        found |= {f"{update}/{name}": np.asarray(x) for name, x in data.items()}
        found[f"{update}/losses"] = np.asarray(by_meta + without)
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
