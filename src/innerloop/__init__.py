"""innerloop: deep meta-reinforcement learning. Agents that learn new tasks in a few episodes."""

from innerloop.version import __version__ as __version__
