"""The live page: what its agents do in a browser is what they do in Python, and clicks do what they say."""

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from innerloop.cli import main
from innerloop.deploy import demo
from innerloop.run.settings import ConfigError

SITE = Path(demo.__file__).parent / "live"


def test_the_runtime_is_asked_for_and_never_fetched_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="--fetch"):
        demo.runtime()
    with pytest.raises(ConfigError, match="does not hold"):
        demo.runtime(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="needs npm"):
        demo.runtime(fetch=True)
    assert main(["demo"]) == 2
    for name in demo.RUNTIME:
        (tmp_path / name).touch()
    assert demo.runtime(tmp_path) == tmp_path


def test_the_page_loads_nothing_from_elsewhere():
    for file in SITE.iterdir():
        assert "http://" not in file.read_text("utf-8") and "https://" not in file.read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page in headless Chromium, with the runtime of INNERLOOP_ORT_WEB or of the cache."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs Chromium")
    given = os.environ.get("INNERLOOP_ORT_WEB")
    try:
        runtime = demo.runtime(Path(given) if given else None)
    except ConfigError as error:
        pytest.skip(str(error))
    server = demo.server(demo.build(tmp_path_factory.mktemp("site") / "demo", runtime))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1024, "height": 1100})
        page.faults = []  # pyright: ignore[reportAttributeAccessIssue]
        page.on("pageerror", lambda error: page.faults.append(str(error)))  # pyright: ignore[reportAttributeAccessIssue]
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
        yield page
        chromium.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_click_hides_the_goal_and_the_agent_finds_it(page):
    box = page.locator("#with-world").bounding_box()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])  # cell (4, 4)
    page.wait_for_timeout(500)
    assert "neither was told" in page.inner_text("#status")
    page.evaluate("demo.run(60)")
    adapts, forgets = page.evaluate("demo.returns()")
    assert len(adapts) == len(forgets) == 4
    assert adapts[-1] == pytest.approx(16 - 8 - 0.1 * 7, abs=1e-4)  # straight to it
    page.click("#step")
    page.wait_for_timeout(300)
    assert page.evaluate("demo.steps()") == [61, 61]


@pytest.mark.slow
def test_the_other_worlds_open_and_adapt(page):
    page.click("#tab-arms")
    page.wait_for_timeout(1500)
    page.evaluate("demo.open('arms', [0, 0, 1, 0, 0], 3)")
    page.evaluate("demo.run(100)")
    adapts, forgets = (sum(one) for one in page.evaluate("demo.returns()"))
    assert adapts > 85 and adapts > forgets + 5
    page.click("#tab-plane")
    page.wait_for_timeout(1500)
    page.evaluate("demo.open('plane', [0.4, -0.4], 3)")
    page.evaluate("demo.run(8200)")
    adapts, forgets = page.evaluate("demo.returns()")
    assert adapts[1] > adapts[0] + 10 and abs(forgets[1] - forgets[0]) < 10
    assert page.faults == []


@pytest.mark.slow
@pytest.mark.parametrize("name", list(demo.AGENTS))
def test_what_the_graphs_say_is_what_they_say_in_python(page, name):
    """A scripted life: the same logits, or means, at every step, through a step of learning where there is one."""
    import innerloop

    agent = innerloop.load(demo.AGENTS[name]).begin(0)
    rng = np.random.default_rng(0)
    steps = agent.plan.steps + 5 if agent.learns else min(agent.plan.steps, 60)
    rows, said = [], []
    obs = np.zeros(agent.spaces.obs.shape, np.float32)
    for step in range(steps):
        said.append(agent.decide(obs))
        agent.act(obs, deterministic=True)
        then = rng.integers(0, 2, obs.shape).astype(np.float32)
        ended = name != "arms" and step % 15 == 14
        row = {"obs": obs.tolist(), "reward": float(np.float32(rng.normal())), "terminated": False, "truncated": ended}
        rows.append(row | {"arrived": then.tolist()})
        agent.reward(row["reward"], False, ended, obs=then)
        obs = np.zeros_like(obs) if ended else then
    found = page.evaluate(f"demo.replay('{name}', {json.dumps(rows)})")
    assert found["learned"] == int(agent.counts.learned)
    dists = [decision.dist for decision in said]
    expected = [np.asarray(d.logits if hasattr(d, "logits") else d.mean) for d in dists]
    np.testing.assert_allclose(found["said"], expected, rtol=1e-3, atol=1e-4)
