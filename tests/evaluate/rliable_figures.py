"""What rliable says of two score matrices, written to rliable.json: `python tests/evaluate/rliable_figures.py`.

Run by hand with rliable 1.2.0 in an environment of its own (`pip install rliable==1.2.0 'pandas<3'`); the tests read the file.
Its draws come from numpy's legacy generator, so that they can be drawn again.
"""

import json
import warnings
from pathlib import Path

import numpy as np

SEED, REPLICATES = 11, 500


def main() -> None:
    warnings.filterwarnings("ignore")
    from rliable import library, metrics  # pyright: ignore[reportMissingImports]

    draw = np.random.RandomState(7)
    x, y = (np.round(draw.gamma(2.0, scale, (runs, 6)), 3) for scale, runs in ((0.4, 5), (0.35, 4)))

    def interval(scores, statistic):
        np.random.seed(SEED)
        found = library.get_interval_estimates({"": scores}, lambda *a: np.atleast_1d(statistic(*a)), reps=REPLICATES)
        return [found[0][""].tolist(), found[1][""].tolist()]

    marks = np.linspace(0.0, 2.0, 5)
    np.random.seed(SEED)
    share, reach = library.create_performance_profile({"": x}, marks, reps=REPLICATES)
    told = {
        "x": x.tolist(),
        "y": y.tolist(),
        "marks": marks.tolist(),
        "iqm": interval(x, metrics.aggregate_iqm),
        "mean": interval(x, metrics.aggregate_mean),
        "optimality_gap": interval(x, metrics.aggregate_optimality_gap),
        "improvement": interval([x, y], metrics.probability_of_improvement),
        "profile": [np.asarray(share[""]).tolist(), np.asarray(reach[""]).tolist()],
    }
    Path(__file__).with_name("rliable.json").write_text(
        "{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in told.items()) + "\n}\n"
    )


if __name__ == "__main__":
    main()
