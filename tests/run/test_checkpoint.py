"""What a checkpoint promises: every bit back, or the checkpoint before, or a clear error; whatever happens to the disk."""

import errno
import json
import logging
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.run import checkpoint, sealed, tensors
from innerloop.run.checkpoint import NoCheckpoint, NonFinite, Saver, digest, restore, save, steps, verify


class Net(eqx.Module):
    weight: jax.Array
    size: int = eqx.field(static=True)


def state(seed=0):
    key = jax.random.key(seed)
    return {
        "net": Net(jax.random.normal(key, (3, 4)), 3),
        "opt": (jnp.zeros((), jnp.int32), [jnp.ones((2, 2), jnp.bfloat16) * seed, jnp.arange(3, dtype=jnp.uint32)]),
        "keys": {"one": key, "many": jax.random.split(jax.random.key(seed, impl="rbg"), 2), "old": jax.random.PRNGKey(seed)},
        "flags": jnp.array([True, False]),
        "none": None,
        "empty": jnp.zeros((0, 4)),
        "host": np.array([seed, 2**40], np.int64),
        "count": np.float64(seed + 0.1),
    }


def fill(folder, n=3, **options):
    for i in range(n):
        save(folder, i, state(i), extra={"iteration": i, "env_steps": 10 * i, "recipe": "r"}, **options)


def newest(folder, n=3):
    return folder / "checkpoints" / f"step-{n - 1:09d}"


def test_restore_gives_every_bit_back(tmp_path):
    tree = state(7)
    save(tmp_path, 12, tree, extra={"iteration": 12, "note": "ok"})
    back, manifest = restore(tmp_path, state(0))
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    assert digest(back) == digest(tree) == manifest["digest"] == verify(tmp_path)["digest"]
    assert manifest["extra"] == {"iteration": 12, "note": "ok"} and manifest["step"] == 12 and manifest["parent"] is None
    assert jnp.array_equal(jax.random.normal(back["keys"]["one"]), jax.random.normal(tree["keys"]["one"]))
    assert isinstance(back["host"], np.ndarray) and isinstance(back["net"].weight, jax.Array)


def test_like_may_be_abstract(tmp_path):
    tree = {name: x for name, x in state(3).items() if name not in ("host", "count")}
    save(tmp_path, 1, tree, extra={})
    assert digest(restore(tmp_path, jax.eval_shape(lambda: tree))[0]) == digest(tree)


def test_digest_sees_path_type_shape_and_bytes():
    x = jnp.zeros((2, 2))
    trees = [{"a": x}, {"b": x}, {"a": x.astype(jnp.int32)}, {"a": x.reshape(4)}, {"a": -x}, {"a": x, "c": x}]
    trees += [{"a": jax.random.key(0)}, {"a": jax.random.key_data(jax.random.key(0))}]
    assert len({digest(t) for t in trees}) == len(trees)
    assert digest(trees[0]) == digest({"a": np.zeros((2, 2), np.float32)})


def test_the_file_is_plain_safetensors(tmp_path):
    from safetensors.numpy import load_file

    tree = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3, np.int32), "b": np.array([True])}
    save(tmp_path, 0, tree, extra={})
    found = load_file(newest(tmp_path, 1) / "state.safetensors")
    assert set(found) == {"['b']", "['n']", "['w']"} and np.array_equal(found["['w']"], tree["w"]) and found["['n']"] == 3


def test_the_last_few_are_kept(tmp_path):
    fill(tmp_path, 6, keep=2)
    assert steps(tmp_path) == [4, 5]
    assert verify(tmp_path)["parent"] == 4


def test_saving_after_going_back_drops_the_abandoned_future(tmp_path):
    fill(tmp_path, 6, keep=4)
    save(tmp_path, 4, state(9), extra={}, keep=2)
    assert steps(tmp_path) == [3, 4]
    assert digest(restore(tmp_path, state())[0]) == digest(state(9))


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
def test_no_flipped_bit_is_silent(tmp_path, caplog, name):
    fill(tmp_path)
    path, good = newest(tmp_path) / name, {digest(state(i)): i for i in range(3)}
    content, like, rng = path.read_bytes(), state(), np.random.default_rng(0)
    fallen = 0
    for bit in rng.choice(8 * len(content), 150, replace=False):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        tree, manifest = restore(tmp_path, like, recipe="r")
        step = good[digest(tree)]
        assert manifest["step"] == step and manifest["extra"] == {"iteration": step, "env_steps": 10 * step, "recipe": "r"}
        fallen += step == 1
        assert (step == 1) == ("is not used" in caplog.text)  # a flip in white space may be harmless; no fall is silent
        caplog.clear()
    assert fallen >= (150 if name == "state.safetensors" else 100)


def test_no_truncation_zeroed_page_or_swap_is_silent(tmp_path, caplog):
    fill(tmp_path)
    like, rng = state(), np.random.default_rng(1)
    for name in ("state.safetensors", "manifest.json"):
        path, other = newest(tmp_path) / name, newest(tmp_path, 2) / name
        content = path.read_bytes()
        cuts = [content[: int(n)] for n in rng.integers(0, len(content), 20)]
        at = int(rng.integers(0, len(content) - 64))
        zeroed = content[:at] + bytes(64) + content[at + 64 :]
        for damaged in [*cuts, zeroed, content + b"\0" * 8, other.read_bytes(), b"", b"[" * 5000, b"null"]:
            path.write_bytes(damaged)
            assert digest(restore(tmp_path, like)[0]) == digest(state(1))
        path.unlink()
        assert restore(tmp_path, like)[1]["step"] == 1
        path.mkdir()
        assert restore(tmp_path, like)[1]["step"] == 1
        path.rmdir()
        path.write_bytes(content)
    assert restore(tmp_path, like)[1]["step"] == 2


def test_swapped_folders_are_seen(tmp_path):
    fill(tmp_path)
    one, two = newest(tmp_path, 2), newest(tmp_path, 3)
    shutil.rmtree(two)
    shutil.copytree(one, two)
    assert restore(tmp_path, state())[1]["step"] == 1


def test_nothing_good_is_a_clear_error(tmp_path):
    with pytest.raises(NoCheckpoint, match="none has been saved") as none:
        restore(tmp_path, state())
    assert none.value.damaged == {}
    fill(tmp_path, 2)
    for i in (1, 2):
        (newest(tmp_path, i) / "state.safetensors").write_bytes(b"")
    with pytest.raises(NoCheckpoint, match="step-000000001: state.safetensors has 0 bytes") as all_damaged:
        restore(tmp_path, state())
    assert set(all_damaged.value.damaged) == {"step-000000000", "step-000000001"}
    with pytest.raises(NoCheckpoint, match="step-000000007: not there .there are 0, 1."):
        restore(tmp_path, state(), step=7)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: {**t, "more": jnp.zeros(1)}, "more"),
        (lambda t: {**t, "flags": jnp.zeros(2, jnp.int32)}, "flags"),
        (lambda t: {**t, "flags": jnp.zeros(3, bool)}, "flags"),
        (lambda t: {**t, "keys": {**t["keys"], "one": jax.random.key(0, impl="rbg")}}, "one"),
        (lambda t: {**t, "keys": {**t["keys"], "one": jnp.zeros(2, jnp.uint32)}}, "one"),
        (lambda t: {**t, "host": jnp.zeros(2, jnp.int32)}, "host"),
    ],
)
def test_a_state_of_another_shape_is_refused(tmp_path, change, reason):
    save(tmp_path, 0, state(), extra={})
    with pytest.raises(NoCheckpoint, match=reason):
        restore(tmp_path, change(state()))


def test_what_this_process_cannot_hold_is_refused(tmp_path):
    save(tmp_path, 0, {"x": np.zeros(2)}, extra={})
    with pytest.raises(NoCheckpoint, match="JAX_ENABLE_X64"):
        restore(tmp_path, {"x": jax.ShapeDtypeStruct((2,), np.dtype("float64"))})


def test_another_recipes_checkpoint_is_passed_over(tmp_path):
    fill(tmp_path, 2)
    save(tmp_path, 2, state(2), extra={"recipe": "another"})
    assert restore(tmp_path, state(), recipe="r")[1]["step"] == 1
    assert restore(tmp_path, state())[1]["step"] == 2
    with pytest.raises(NoCheckpoint, match="another recipe"):
        restore(tmp_path, state(), step=2, recipe="r")


def test_nothing_non_finite_is_saved(tmp_path):
    fill(tmp_path, 1)
    for bad in (jnp.nan, jnp.inf, -jnp.inf):
        for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
            with pytest.raises(NonFinite, match="'b'") as refused:
                save(tmp_path, 1, {"a": jnp.ones(3), "b": jnp.array([1, bad], dtype)}, extra={})
            assert refused.value.paths == ["['b']"]
            with pytest.raises(NonFinite):
                Saver(tmp_path).save(1, {"b": jnp.array([1, bad], dtype)}, extra={})
    save(tmp_path, 1, {"huge": jnp.full(9, 3e38)}, extra={})  # the sum overflows, no entry does
    assert steps(tmp_path) == [0, 1]


def test_what_cannot_be_stored_is_refused(tmp_path):
    for tree, what in [
        ({"f": len}, "only arrays"),
        ({"n": 3}, "only arrays"),
        ({"c": jnp.zeros(1, jnp.complex64)}, "complex64"),
    ]:
        with pytest.raises(TypeError, match=what):
            save(tmp_path, 0, tree, extra={})
    with pytest.raises(TypeError, match="complex64"):
        Saver(tmp_path).save(0, {"c": jnp.zeros(1, jnp.complex64)}, extra={})
    with pytest.raises(ValueError, match="step -1"):
        save(tmp_path, -1, {}, extra={})
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path, 0, {}, extra={"loss": float("nan")})
    assert steps(tmp_path) == []


def test_saver_writes_what_the_state_was_when_asked(tmp_path):
    saver, tree = Saver(tmp_path, keep=2), {"x": np.zeros(5), "w": jnp.arange(4.0)}
    for i in range(4):
        tree["x"][:] = i
        saver.save(i, tree, extra={"iteration": i})
        tree["x"][:] = -1
    assert saver.wait() and saver.last == 3 and steps(tmp_path) == [2, 3]
    assert np.array_equal(restore(tmp_path, tree)[0]["x"], np.full(5, 3.0))


@pytest.mark.parametrize("where", ["write", "seal", "rename"])
def test_a_full_disk_costs_one_checkpoint_and_a_warning(tmp_path, monkeypatch, caplog, where):
    fill(tmp_path, 2)
    saver = Saver(tmp_path)

    def full(*args, **kwargs):
        if where == "write":
            args[0].write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "write":
            patch.setattr(tensors, "write", full)
        elif where == "seal":
            patch.setattr(sealed, "write_atomically", full)
        else:
            patch.setattr("pathlib.Path.rename", full)
        saver.save(2, state(2), extra={})
        assert not saver.wait() and not saver.wait()
    assert caplog.text.count("could not be saved") == 1 and "No space left" in caplog.text
    assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())] == ["step-000000000", "step-000000001"]
    assert digest(restore(tmp_path, state())[0]) == digest(state(1))
    saver.save(3, state(3), extra={})
    assert saver.wait() and restore(tmp_path, state())[1]["step"] == 3


def test_other_settings_are_announced(tmp_path, caplog, monkeypatch):
    fill(tmp_path, 1)
    restore(tmp_path, state())
    assert "bit-exact" not in caplog.text
    monkeypatch.setenv("NPROC", "7")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    restore(tmp_path, state())
    assert "not bit-exact" in caplog.text and "threads" in caplog.text and "AVX2" in caplog.text


def test_settings_hold_no_other_part_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "canary-93142")
    fill(tmp_path, 1)
    assert b"canary" not in (newest(tmp_path, 1) / "manifest.json").read_bytes()


def test_leftovers_are_ignored_and_cleaned(tmp_path):
    fill(tmp_path, 1)
    for name in (".tmp-step-000000001-99", ".aside-step-000000000", ".tmp-dropped-0-99"):
        (tmp_path / "checkpoints" / name).mkdir()
    (tmp_path / "checkpoints" / "notes").mkdir()
    assert steps(tmp_path) == [0]
    Saver(tmp_path)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["notes", "step-000000000"]


def test_strong_keeps_values_and_drops_weak_types():
    tree = checkpoint.strong({"a": jnp.array(0.5), "k": jax.random.key(1), "n": np.ones(2)})
    assert not tree["a"].weak_type and tree["a"] == 0.5 and tree["n"].dtype == np.float64


def test_meta_parameters_alone(tmp_path):
    meta, card = {"w": jnp.arange(3.0)}, {"recipe": {"name": "rl2"}, "total": 6.6}
    checkpoint.save_meta(tmp_path / "entry", meta, card)
    checkpoint.save_meta(tmp_path / "entry", meta, card)
    assert checkpoint.read_card(tmp_path / "entry") == card
    back, found = checkpoint.load_meta(tmp_path / "entry", jax.eval_shape(lambda: meta))
    assert digest(back) == digest(meta) and found == card
    path = tmp_path / "entry" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(NoCheckpoint, match="SHA-256 differs"):
        checkpoint.load_meta(tmp_path / "entry", meta)
    (tmp_path / "entry" / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match="README.md"):
        checkpoint.save_meta(tmp_path / "entry", meta, card)


def test_a_forged_manifest_allocates_and_runs_nothing(tmp_path):
    save(tmp_path, 0, {"w": jnp.ones(4)}, extra={})
    path = newest(tmp_path, 1) / "manifest.json"
    manifest = json.loads(path.read_text())
    for field, value in [
        ("shape", [10**15]),
        ("shape", [-1]),
        ("shape", ["4"]),
        ("dtype", "object"),
        ("dtype", "V8"),
        ("path", 3),
    ]:
        forged = {**manifest, "leaves": [{**manifest["leaves"][0], field: value}]}
        forged["digest"] = tensors.total(forged["leaves"])
        forged.pop("seal")
        path.write_text(json.dumps(sealed.seal(forged)))
        with pytest.raises(NoCheckpoint):
            verify(tmp_path)
        with pytest.raises(NoCheckpoint):
            restore(tmp_path, {"w": jnp.ones(4)})


def test_warnings_come_from_this_package(tmp_path, caplog):
    fill(tmp_path, 2)
    (newest(tmp_path, 2) / "manifest.json").unlink()
    restore(tmp_path, state())
    assert (
        all(r.name.startswith("innerloop.") and r.levelno == logging.WARNING for r in caplog.records)
        and len(caplog.records) == 2
    )
