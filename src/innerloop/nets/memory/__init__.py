"""Memory cells behind one interface: `empty`, `step`, and an `unroll` that is the same function of many steps at once."""

from innerloop.nets.memory.cell import Cell, dense, wide
from innerloop.nets.memory.stack import MEMORIES, check, make

__all__ = ["MEMORIES", "Cell", "check", "dense", "make", "wide"]
