"""The glucose and insulin of a virtual patient with type 1 diabetes, minute by minute: the UVA/Padova model of 2008.

Not a task (`insulin_dosing.py`), and no medical device: thirty sets of numbers that behave like patients in some respects.

Equations: meals and glucose after Dalla Man, Rizza and Cobelli 2007 (*Meal simulation model of the glucose-insulin system*,
IEEE TBME 54:1740), insulin under the skin and in the plasma, and the sensor's site, as the simulator for type 1 has them
(Kovatchev et al. 2009, J. Diabetes Sci. Technol. 3:44; Dalla Man et al. 2014, ibid. 8:26). The parameters of 10 adolescents, 10
adults and 10 children, and that a meal is eaten at 5 g a minute, are simglucose's (Xie 2018, 0.2.11, MIT licence: see
`data/LICENSE-simglucose.txt`).

Numbers: classical Runge-Kutta steps of one minute, in which insulin and food are constant; simglucose takes adaptive ones.
`tests/tasks/test_glucose_model.py` holds both against each other. Where a quantity falls below 0, which is beyond the model
(simglucose stops it there for good, and ends a run at 10 mg/dl), it may rise again and not fall further.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

EATEN = 5.0  # g of carbohydrate a minute
PMOL = 6000.0  # in a unit of insulin
GROUPS = ("adolescent", "adult", "child")  # in the order of the table, ten each


class Body(NamedTuple):
    """The thirteen quantities of the model; floats."""

    solid: Array  # glucose in the stomach, mg
    liquid: Array
    gut: Array  # mg
    plasma: Array  # glucose, mg/kg
    tissue: Array  # glucose, mg/kg
    insulin: Array  # in plasma, pmol/kg
    action: Array  # of insulin on use, pmol/l above the basal level
    delayed: Array  # insulin signals on production, pmol/l
    delayed_more: Array
    liver: Array  # insulin, pmol/kg
    first: Array  # insulin under the skin, pmol/kg
    second: Array
    skin: Array  # glucose where the sensor is, mg/kg


class Meal(NamedTuple):
    """What is being eaten; floats."""

    left: Array  # g on the plate
    eaten: Array  # g of this meal so far
    before: Array  # mg that were in the stomach when it began
    eating: Array  # bool: a minute ago too


class Patient(NamedTuple):
    """One virtual patient; floats, by the symbols of the papers. The first three are not the model's but the patient's own."""

    CR: Array  # g of carbohydrate that a unit of insulin covers
    CF: Array  # mg/dl by which a unit lowers glucose
    age: Array  # years
    BW: Array  # kg
    u2ss: Array  # pmol/kg/min of insulin that hold the patient at rest
    Ib: Array
    kabs: Array
    kmax: Array
    kmin: Array
    b: Array
    d: Array
    f: Array
    Vg: Array
    Vi: Array
    kp1: Array
    kp2: Array
    kp3: Array
    Fsnc: Array
    ke1: Array
    ke2: Array
    k1: Array
    k2: Array
    Vm0: Array
    Vmx: Array
    Km0: Array
    m1: Array
    m2: Array
    m4: Array
    m30: Array
    p2u: Array
    ki: Array
    ka1: Array
    ka2: Array
    kd: Array
    ksc: Array
    rest: Body  # where glucose stands still

    @property
    def basal(self) -> Array:
        """U/min that hold the patient at rest."""
        return self.u2ss * self.BW / PMOL


@lru_cache
def patients() -> Patient:
    """All thirty; numpy float32 [30], in the order of GROUPS."""
    with resources.files("innerloop.tasks").joinpath("data", "patients.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    column = {name: np.array([row[name] for row in rows], np.float32) for name in rows[0] if name != "name"}
    rest = Body(*(column[f"x{i}"] for i in range(1, 14)))
    return Patient(**{name: column[name] for name in Patient._fields if name != "rest"}, rest=rest)


def fasting(body: Body) -> Meal:
    """Nothing is being eaten."""
    zero = jnp.zeros(())
    return Meal(zero, zero, body.solid + body.liquid, jnp.zeros((), bool))


def change(patient: Patient, x: Body, meal: Meal, eaten: Array, insulin: Array) -> Body:
    """Of every quantity in a minute, with `eaten` g/min of carbohydrate and `insulin` U/min."""
    p = patient
    stomach, whole = x.solid + x.liquid, meal.before + 1000.0 * meal.eaten  # mg
    some = jnp.where(whole > 0, whole, 1.0)
    slow = jnp.tanh(2.5 / (some * (1.0 - p.b)) * (stomach - p.b * whole))
    slower = jnp.tanh(2.5 / (some * p.d) * (stomach - p.d * whole))
    emptying = jnp.where(whole > 0, p.kmin + 0.5 * (p.kmax - p.kmin) * (slow - slower + 2.0), p.kmax)
    appears = p.f * p.kabs * x.gut / p.BW
    produced = jnp.maximum(p.kp1 - p.kp2 * x.plasma - p.kp3 * x.delayed_more, 0.0)
    excreted = p.ke1 * jnp.maximum(x.plasma - p.ke2, 0.0)
    used = (p.Vm0 + p.Vmx * x.action) * x.tissue / (p.Km0 + x.tissue)
    level = x.insulin / p.Vi  # pmol/l
    exchange = p.k1 * x.plasma - p.k2 * x.tissue
    return Body(
        solid=-p.kmax * x.solid + 1000.0 * eaten,
        liquid=p.kmax * x.solid - emptying * x.liquid,
        gut=emptying * x.liquid - p.kabs * x.gut,
        plasma=_above(x.plasma, produced + appears - p.Fsnc - excreted - exchange),
        tissue=_above(x.tissue, exchange - used),
        insulin=_above(x.insulin, -(p.m2 + p.m4) * x.insulin + p.m1 * x.liver + p.ka1 * x.first + p.ka2 * x.second),
        action=p.p2u * (level - p.Ib - x.action),
        delayed=p.ki * (level - x.delayed),
        delayed_more=p.ki * (x.delayed - x.delayed_more),
        liver=_above(x.liver, -(p.m1 + p.m30) * x.liver + p.m2 * x.insulin),
        first=_above(x.first, insulin * PMOL / p.BW - (p.ka1 + p.kd) * x.first),
        second=_above(x.second, p.kd * x.first - p.ka2 * x.second),
        skin=_above(x.skin, p.ksc * (x.plasma - x.skin)),
    )


def _above(x: Array, change: Array) -> Array:
    return jnp.where(x >= 0, change, jnp.maximum(change, 0.0))


def minute(patient: Patient, body: Body, meal: Meal, served: Array, insulin: Array) -> tuple[Body, Meal]:
    """A minute later.

    Args:
        served: g of carbohydrate put on the plate as it begins.
        insulin: U/min under the skin.
    """
    plate = meal.left + served
    eaten = jnp.minimum(plate, EATEN)
    eating = eaten > 0
    begins = eating & ~meal.eating
    before = jnp.where(begins, body.solid + body.liquid, meal.before)
    meal = Meal(plate - eaten, jnp.where(begins, 0.0, meal.eaten) + eaten, before, eating)

    def at(x: Body) -> Body:
        return change(patient, x, meal, eaten, insulin)

    def ahead(share: float, slope: Body) -> Body:
        return jax.tree.map(lambda x, dx: x + share * dx, body, slope)

    one = at(body)
    two = at(ahead(0.5, one))
    three = at(ahead(0.5, two))
    four = at(ahead(1.0, three))
    return jax.tree.map(lambda x, a, b, c, d: x + (a + 2.0 * (b + c) + d) / 6.0, body, one, two, three, four), meal


def glucose(patient: Patient, body: Body) -> Array:
    """Where the sensor is, mg/dl: what simglucose calls blood glucose."""
    return body.skin / patient.Vg
