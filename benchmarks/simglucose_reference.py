"""What simglucose says, recorded once: its table of patients, and what its simulator makes of given insulin and meals.

Not a test: `tests/tasks/test_glucose_model.py` compares with what lies in `tests/tasks/simglucose.npz`, without simglucose. The
package pins an old gymnasium, so that it needs an environment of its own:

    python3.11 -m venv sim && sim/bin/pip install simglucose==0.2.11 'setuptools<80' 'numpy<2'
    sim/bin/python benchmarks/simglucose_reference.py

Doses are those of a basal-bolus rule, each wrong by a factor drawn from [0.4, 1.5], and meals those of the package's random
scenario, so that glucose goes through its whole range; what became of it is recorded every 15 minutes.
"""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

import numpy as np
import pandas as pd
from simglucose.patient.t1dpatient import PATIENT_PARA_FILE, Action, T1DPatient
from simglucose.sensor.cgm import SENSOR_PARA_FILE
from simglucose.sensor.noise_gen import CGMNoise, noise15_iter
from simglucose.simulation.scenario_gen import RandomScenario

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "src" / "innerloop" / "tasks" / "data" / "patients.csv"
RECORD = ROOT / "tests" / "tasks" / "simglucose.npz"
COLUMNS = (
    "BW", "u2ss", "Ib", "kabs", "kmax", "kmin", "b", "d", "f", "Vg", "Vi", "kp1", "kp2", "kp3", "Fsnc", "ke1", "ke2", "k1",
    "k2", "Vm0", "Vmx", "Km0", "m1", "m2", "m4", "m30", "p2u", "ki", "ka1", "ka2", "kd", "ksc",
)  # fmt: skip
RECORDED = {"plasma": 3, "insulin": 5, "skin": 12}  # the names that the model has for these quantities
MINUTES, EVERY, NOISE = 24 * 60, 15, 30


def table() -> pd.DataFrame:
    """The columns that the model reads, the rest state, and what the patient knows of insulin, in simglucose's own figures."""
    patients = pd.read_csv(PATIENT_PARA_FILE, dtype=str)
    quest = pd.read_csv(Path(PATIENT_PARA_FILE).with_name("Quest.csv"), dtype=str)
    assert list(patients.Name) == list(quest.Name)
    rest = {f"x{i}": patients[f"x0_{i:2d}"] for i in range(1, 14)}
    known = {"CR": quest.CR, "CF": quest.CF, "age": quest.Age}
    return pd.DataFrame({"name": patients.Name, **known, **{c: patients[c] for c in COLUMNS}, **rest})


def live(number: int, rng: np.random.RandomState) -> dict[str, np.ndarray]:
    """A day of patient `number`, from 0."""
    patient = T1DPatient.withID(number + 1)
    known = pd.read_csv(TABLE).iloc[number]
    midnight = datetime.datetime(2020, 1, 1)
    scenario = RandomScenario(midnight, seed=number)
    meals = np.array([scenario.get_action(midnight + datetime.timedelta(minutes=m)).meal for m in range(1, MINUTES)])
    meals = np.append(0, meals)  # the first minute would make simglucose draw another day
    basal = known.u2ss * known.BW / 6000  # U/min
    doses, body = [], []
    for minute in range(MINUTES):
        if minute % EVERY == 0:
            coming = meals[minute : minute + EVERY].sum()
            doses.append(rng.uniform(0.4, 1.5) * (basal + coming / known.CR / EVERY))
        patient.step(Action(CHO=float(meals[minute]), insulin=float(doses[-1])))
        if (minute + 1) % EVERY == 0:
            body.append(np.array(patient.state, float))
    states = dict(zip(RECORDED, np.array(body, np.float32)[:, list(RECORDED.values())].T, strict=True))
    return {"meals": meals.astype(np.uint8), "doses": np.array(doses), **states}


def noise(seed: int) -> dict[str, np.ndarray]:
    """A sensor's errors every 15 minutes, what they were drawn from, and between them every 3 minutes."""
    params = pd.read_csv(SENSOR_PARA_FILE).iloc[0]
    knots = noise15_iter(params, seed=seed)
    errors = CGMNoise(params, seed=seed)
    return {
        "noise_drawn": np.random.RandomState(seed).randn(NOISE + 1),
        "noise_knots": np.array([next(knots) for _ in range(NOISE + 1)]),
        "noise": np.array([next(errors) for _ in range(5 * NOISE)]),
    }


def main() -> None:
    logging.disable(logging.CRITICAL)
    TABLE.parent.mkdir(exist_ok=True)
    table().to_csv(TABLE, index=False)
    rng = np.random.RandomState(0)
    days = [live(i, rng) for i in range(30)]
    stacked = {name: np.stack([day[name] for day in days]) for name in days[0]}
    np.savez_compressed(RECORD, **stacked, **noise(0))
    glucose = stacked["skin"] / pd.read_csv(TABLE).Vg.to_numpy()[:, None]
    print(f"30 days; glucose from {glucose.min():.0f} to {glucose.max():.0f} mg/dl -> {RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
