"""The command as a user starts it, and a run of a few seconds. Not the tests' fixtures: those are in conftest.py."""

import os
import signal
import subprocess
import sys
from pathlib import Path

TINY = [
    "rl2", "--tasks", "bandit-k2-n5", "--set", "meta_batch=32", "--set", "outer.minibatches=2", "--set", "outer.epochs=1",
    "--set", "held_out=50", "--set", "inner.width=8", "--set", "evaluations=2",
]  # fmt: skip
UPDATE = 32 * 5  # environment steps of one of its updates


class Command:
    """`innerloop …` in processes of its own."""

    def __init__(self):
        paths = [str(Path(__file__).parent), *(p for p in sys.path if p)]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "80"}
        self.environment.pop("INNERLOOP_KILL_IN_SAVE", None)

    def start(self, *words, code=None, **more):
        """The process, running. `code`: Python before the command, to be killed by, say."""
        call = f"{code}\nimport sys; from innerloop.cli import main; sys.exit(main(sys.argv[1:]))" if code else None
        begin = [sys.executable, *(["-c", call] if call else ["-m", "innerloop.cli"])]
        return subprocess.Popen(
            [*begin, *map(str, words)],
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words, expect=0, **more):
        """The ended process, with stdout and stderr; its status must be `expect`."""
        process = self.start(*words, **more)
        out, err = process.communicate()
        assert process.returncode == expect, (words, process.returncode, err[-3000:])
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def digest(self, run):
        return self("digest", run).stdout.strip()

    def killed(self, *words, **more):
        """Run until something in it kills it."""
        self(*words, expect=-signal.SIGKILL, **more)
