"""What the log promises: every row whole, the rows after a checkpoint gone on resume, and no disk that stops a run."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from innerloop.run.log import RunLog, read_rows, rewind


class Clock:
    """Seconds that pass only when asked to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def open_log(folder, screen=None, terminal=False, **options):
    screen = io.StringIO() if screen is None else screen
    console = Console(file=screen, force_terminal=terminal, width=150, highlight=False, legacy_windows=False)
    return RunLog(folder, 1000, console=console, clock=options.pop("clock", Clock()), **options)


def scalars(folder):
    """Every (step, tag, value) of the event files, after purging, as TensorBoard would show them."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(Path(folder, "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            if event.HasField("session_log"):
                found = [row for row in found if row[0] < event.step]
            found += [(event.step, v.tag, round(v.simple_value, 4)) for v in event.summary.value]
    return found


def test_importing_the_log_imports_no_jax():
    code = "import sys; import innerloop.run.log; print([m for m in ('jax', 'rich', 'tensorboardX') if m in sys.modules])"
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_say_what_was_measured(tmp_path):
    clock = Clock()
    with open_log(tmp_path, clock=clock) as log:
        clock.now = 1.5
        log.write(
            0, 100, {"return": np.float32(0.5), "lost": np.nan, "each": np.arange(2)}, {"mean": 6.0, "lo": 5.5, "hi": 6.5}
        )
        log.write(1, 200, {"return": 2})
        assert len(read_rows(tmp_path / "log.jsonl")) == 2  # before anything is closed
    first, second = read_rows(tmp_path / "log.jsonl")
    assert first == {
        "iteration": 0, "env_steps": 100, "seconds": 1.5, "metrics": {"return": 0.5, "lost": None, "each": [0, 1]},
        "heldout": {"mean": 6.0, "lo": 5.5, "hi": 6.5},
    }  # fmt: skip
    assert "heldout" not in second
    expected = [(100, "return", 0.5), (100, "heldout/mean", 6.0), (100, "heldout/lo", 5.5), (100, "heldout/hi", 6.5)]
    assert scalars(tmp_path) == [*expected, (200, "return", 2.0)]


def test_tensorboard_reads_the_events(tmp_path):
    from tensorboardX import record_writer as reader  # its checksum is that of TensorBoard

    with open_log(tmp_path) as log:
        log.write(0, 100, {"return": 1.0})
    data = next((tmp_path / "tensorboard").iterdir()).read_bytes()
    at, count = 0, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        assert int.from_bytes(data[at + 8 : at + 12], "little") == reader.masked_crc32c(data[at : at + 8])
        body = data[at + 12 : at + 12 + size]
        assert int.from_bytes(data[at + 12 + size : at + 16 + size], "little") == reader.masked_crc32c(body)
        at, count = at + 16 + size, count + 1
    assert count == 2


def test_a_resumed_run_goes_on_from_its_checkpoint(tmp_path):
    clock = Clock()
    with open_log(tmp_path, clock=clock) as log:
        for i in range(6):
            clock.now += 1
            log.write(i, 100 * (i + 1), {"return": i})
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(b'{"iteration": 2, "env_')
    with open_log(tmp_path, iteration=3, env_steps=400, clock=clock) as log:
        assert [row["iteration"] for row in read_rows(tmp_path / "log.jsonl")] == [0, 1, 2, 3]
        clock.now += 2
        log.write(4, 500, {"return": 40})
    rows = read_rows(tmp_path / "log.jsonl")
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3, 4] and rows[-1]["seconds"] == 6.0
    assert [(step, value) for step, _, value in scalars(tmp_path)] == [(100, 0), (200, 1), (300, 2), (400, 3), (500, 40)]
    with open_log(tmp_path):  # begins anew, as when it was killed before its first checkpoint
        pass
    assert read_rows(tmp_path / "log.jsonl") == [] and scalars(tmp_path) == []


def test_rewind_drops_what_is_no_whole_row(tmp_path):
    path = tmp_path / "log.jsonl"
    assert rewind(path, 3) is None
    good = [json.dumps({"iteration": i}) for i in range(4)]
    path.write_text("\n".join([good[0], "{torn", good[1], "[]", '{"iteration": "1"}', good[2], good[3]]))  # no end of line
    assert rewind(path, 3) == {"iteration": 2}
    assert path.read_text() == "".join(line + "\n" for line in good[:3])
    assert rewind(path, -1) is None and path.read_bytes() == b""


def test_a_full_disk_costs_rows_and_one_warning(tmp_path):
    screen = io.StringIO()
    with open_log(tmp_path, screen) as log:
        log.write(0, 100, {"return": 0})
        whole = log._rows._file

        class Full:
            def write(self, data):
                if len(data) > 20:
                    return whole.write(data[:20])  # a part still fits
                raise OSError(28, "No space left on device")

        log._rows._file = Full()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(log._events, "_file", Torn(log._events._file))
            log.write(1, 200, {"return": 1})
            log.write(2, 300, {"return": 2})
        log._rows._file = whole
        log.write(3, 400, {"return": 3})
    assert [row["iteration"] for row in read_rows(tmp_path / "log.jsonl")] == [0, 3]
    assert [row[0] for row in scalars(tmp_path)] == [100, 400]
    assert screen.getvalue().count("could not be written") == 1


class Torn:
    """A file on a full disk: a part is written, then it refuses."""

    def __init__(self, file):
        self.file = file
        self.tell, self.truncate, self.seek = file.tell, file.truncate, file.seek

    def write(self, data):
        self.file.write(data[:5])
        raise OSError(28, "No space left on device")


def test_warnings_are_shown_and_kept(tmp_path):
    screen = io.StringIO()
    package = logging.getLogger("innerloop")
    before = list(package.handlers)
    with open_log(tmp_path, screen, quiet=True):
        logging.getLogger("innerloop.run.checkpoint").warning("The [bold]disk[/bold] is %s.", "full")
        logging.getLogger("innerloop.run.checkpoint").info("not this")
    assert screen.getvalue() == "warning: The [bold]disk[/bold] is full.\n"
    assert (tmp_path / "messages.log").read_text().endswith("Z warning: The [bold]disk[/bold] is full.\n")
    assert package.handlers == before


def test_without_a_terminal_plain_lines_come_now_and_then(tmp_path):
    screen, clock = io.StringIO(), Clock()
    with open_log(tmp_path, screen, title="rl2 · bandit · seed 7", clock=clock) as log:
        with log.phase(1):
            clock.now += 2
        for i in range(10):
            with log.phase(2, 3):
                clock.now += 4
            metrics = {"return_first": i / 3, "return_last": 2.0, "masked": i / 10, "loss": 0.1}
            log.write(i, 100 * (i + 1), metrics, {"mean": 6.5, "lo": 6.0, "hi": 7.0} if i == 5 else None)
    lines = screen.getvalue().splitlines()
    assert lines[:3] == [
        "rl2 · bandit · seed 7",
        "phase 1 initialise",
        "phase 2 train in each task + 3 learn from the inner loops",
    ]
    assert [line.split("%")[0].strip() for line in lines[3:-1]] == ["10", "40", "70", "100"]
    assert lines[4] == " 40% · ETA 0:00:24 · 400 of 1,000 steps · 25 steps/s · return 1 → 2 · 30% of tasks masked"
    assert "held-out return 6.5 [6, 7]" in lines[5] and "held-out" not in lines[4]
    cycle = "time: 1 initialise 5% · 2 train in each task + 3 learn from the inner loops 95% · 4 adapt to new tasks"
    assert lines[-1] == cycle


def test_on_a_terminal_the_bar_shows_the_cycle(tmp_path):
    screen, clock = io.StringIO(), Clock()
    with open_log(tmp_path, screen, terminal=True, title="maml", clock=clock) as log:
        for i in range(2):
            with log.phase(2):
                clock.now += 1
            with log.phase(3):
                clock.now += 3
            log.write(i, 500 * (i + 1), {"return_first": 1.25, "return_last": 2.5})
        logging.getLogger("innerloop").warning("above the bar")
        log.progress.enter(4)
    text = screen.getvalue()
    assert "above the bar" in text and "100%  ETA 0:00:00" in text
    assert "1,000 of 1,000 steps · 125 steps/s · return 1.25 → 2.5" in text.replace("\u00a0", " ")
    cycle = "1 initialise · 2 train in each task 25% · 3 learn from the inner loops 75% · 4 adapt to new tasks 0%"
    assert cycle in text.replace("\u00a0", " ")
    assert text.endswith("\x1b[?25h")  # the cursor is back


def test_an_unknown_phase_is_refused(tmp_path):
    with open_log(tmp_path) as log, pytest.raises(ValueError, match=r"4 \(adapt to new tasks\)"), log.phase(5):
        pass


def test_a_roll_back_hides_what_is_lived_again(tmp_path):
    with open_log(tmp_path) as log:
        for i in range(1, 5):
            log.write(i, 100 * i, {"return": i})
        log.rewind(2, 200)
        log.write(3, 300, {"return": 30})
    assert [row["metrics"]["return"] for row in read_rows(tmp_path / "log.jsonl")] == [1, 2, 30]
    assert [(step, value) for step, _, value in scalars(tmp_path)] == [(100, 1), (200, 2), (300, 30)]
