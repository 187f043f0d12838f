"""A published rule's file is read whole and verified, or refused with the reason."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from innerloop.run.rule_file import DISCO103, SHAPES, Sizes, read_rule, shapes

SIZES = Sizes(5, 4, 3)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes(SIZES).items()}


def written(tmp_path: Path, found: dict[str, np.ndarray]) -> Path:
    path = tmp_path / "rule.npz"
    np.savez(path, **found)  # pyright: ignore[reportArgumentType]
    return path


def test_a_rule_is_read_as_it_was_written(tmp_path: Path):
    path = written(tmp_path, arrays())
    rule = read_rule(path)
    assert rule.sizes == SIZES
    assert rule.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert rule.name.startswith("unknown")
    for name, x in arrays().items():
        np.testing.assert_array_equal(rule.weights[name], x)


def test_the_published_sizes_have_the_published_number_of_weights():
    """Disco103 has 42 arrays with 754,778 numbers."""
    found = shapes(Sizes(600, 256, 128))
    assert len(found) == 42
    assert sum(int(np.prod(shape)) for shape in found.values()) == 754_778
    assert found["lstm/lstm/linear/w"] == (283, 1024)
    assert found["lstm/~/meta_lstm/~unroll/lstm/linear/w"] == (144, 512)


def test_another_file_than_the_one_that_was_asked_for_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="SHA-256"):
        read_rule(written(tmp_path, arrays()), DISCO103)


def spoilt(what: str) -> dict[str, np.ndarray]:
    found, name = arrays(), "lstm/linear_2/w"
    if what == "lacks":
        del found[name]
    elif what == "foreign":
        found["other"] = np.zeros(1, np.float32)
    elif what == "float64":
        found[name] = found[name].astype(np.float64)
    elif what == "shape":
        found[name] = found[name][:-1]
    elif what == "not finite":
        found[name][0, 0] = np.nan
    elif what == "beyond":
        found[name][0, 0] = 1e6
    else:
        found[name] = np.array([{}], dtype=object)
    return found


@pytest.mark.parametrize("what", ["lacks", "foreign", "float64", "shape", "not finite", "beyond", "plain arrays"])
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, what: str):
    with pytest.raises(ValueError, match=what):
        read_rule(written(tmp_path, spoilt(what)))


def test_what_is_no_archive_is_refused(tmp_path: Path):
    path = tmp_path / "rule.npz"
    with pytest.raises(ValueError, match="not a file"):
        read_rule(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="cannot be read"):
        read_rule(path)
    path.write_bytes(written(tmp_path, arrays()).read_bytes()[:-200])
    with pytest.raises(ValueError, match="cannot be read"):
        read_rule(path)


def test_the_format_is_described_once():
    assert set(SHAPES) == set(shapes(SIZES))
