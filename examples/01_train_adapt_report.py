"""Meta-train, adapt to tasks that were never met, and write a report.

Run it anywhere: `python examples/01_train_adapt_report.py [FOLDER]`. It takes some seconds; for a real result leave
`steps` and `settings` out and let the recipe's preset decide.
"""

import sys
import tempfile
from pathlib import Path

import innerloop


def main(folder: Path) -> None:
    run = innerloop.train(
        "rl2",
        tasks="probe-reward",  # two arms, ten pulls; the right arm pays 1, the other nothing
        steps=100_000,
        seed=7,
        out=folder / "run",
        settings={"meta_batch": 128, "inner.width": 16, "outer.minibatches": 4, "outer.epochs": 4, "evaluations": 4},
        quiet=True,
    )
    result = run.evaluate(tasks=500)
    print(f"{result['recipe']} on {result['family']}: mean reward at each {result['unit']}")
    for point in result["curve"]:
        print(f"  {point['experience']:2d}  {point['mean']:.2f}  [{point['lo']:.2f}, {point['hi']:.2f}]")
    total, idle = result["total"], result["baselines"]["no adaptation"]["total"]
    print(f"total {total['mean']:.2f}; the same net without its memory {idle['mean']:.2f}")
    assert total["lo"] > idle["hi"], "adaptation should pay"
    print(f"report: {run.report()}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
