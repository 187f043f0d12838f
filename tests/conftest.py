"""Strictness for every test: an array is never stretched to a higher rank in silence.

Not fixtures: each test file builds what it needs. (Warnings are errors too: pyproject.toml.)
"""

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
