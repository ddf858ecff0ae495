"""Writes a SQLite storage with everything that Optuna can say, and what Optuna itself reads from it, as JSON lines.

    python optuna_db.py DB EXPECTED

The committed pair was made by Optuna 5.0.0.
"""

import datetime
import json
import math
import sys

import optuna
from optuna.distributions import CategoricalDistribution as Cat
from optuna.distributions import FloatDistribution as Float
from optuna.distributions import IntDistribution as Int
from optuna.trial import TrialState, create_trial

INF = math.inf


def at(second, micro=0):
    return datetime.datetime(2026, 1, 31, 12, 0, second, micro)


def make(url):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    one = optuna.create_study(storage=url, study_name="one", sampler=optuna.samplers.RandomSampler(seed=1))
    one.set_user_attr("owner", "ada \u00df")
    one.set_user_attr("list", [1, 2.5, None, math.nan])
    one.set_metric_names(["loss"])

    def objective(trial):
        x = trial.suggest_float("x", -5, 5)
        trial.suggest_float("lr", 1e-6, 0.1, log=True)
        trial.suggest_float("s", 0, 1, step=0.25)
        trial.suggest_int("i", -3, 9)
        trial.suggest_int("j", 1, 1024, log=True)
        trial.suggest_int("k", 0, 9, step=3)
        trial.suggest_categorical("c", ["a", 1, 1.5, None, True])
        trial.report(0.1 + 0.2, 0)
        trial.report(math.nan, 1)
        trial.report(INF, 2)
        trial.report(-INF, 5)
        trial.set_user_attr("note", {"a": [1, "b"]})
        if trial.number == 3:
            raise optuna.TrialPruned
        if trial.number == 4:
            return math.nan
        return x**2

    one.optimize(objective, n_trials=6)
    one.enqueue_trial({"x": 1.5}, user_attrs={"why": "a guess"})
    one.ask()
    for value in (INF, -INF, -0.0, 5e-324):
        one.add_trial(create_trial(value=value, params={"x": 1.0}, distributions={"x": Float(-5, 9)}))
    one.enqueue_trial({"x": 2.5})

    two = optuna.create_study(storage=url, study_name="two", directions=["maximize", "minimize"])
    two.add_trial(create_trial(values=[1.0, INF], system_attrs={"constraints": [-1.0, 2.5]}))
    two.add_trial(create_trial(state=TrialState.FAIL, params={"c": None}, distributions={"c": Cat([None, "z"])}))
    two.add_trial(create_trial(state=TrialState.PRUNED, params={"n": 3}, distributions={"n": Int(0, 9)}))
    optuna.create_study(storage=url, study_name="deleted")
    optuna.delete_study(storage=url, study_name="deleted")
    optuna.create_study(storage=url, study_name="empty")


def number(value):
    return value if value is None or math.isfinite(value) else str(value)


def expected(url):
    storage = optuna.storages.RDBStorage(url)
    for study in sorted(storage.get_all_studies(), key=lambda study: study._study_id):
        yield {
            "study": study.study_name,
            "directions": [direction.name.lower() for direction in study.directions],
            "user_attrs": sorted(study.user_attrs),
        }
        for trial in storage.get_all_trials(study._study_id):
            yield {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "values": [number(value) for value in trial.values or []],
                "start": micros(trial.datetime_start),
                "end": micros(trial.datetime_complete),
                "params": {name: repr(value) for name, value in sorted(trial.params.items())},
                "internal": {
                    name: trial.distributions[name].to_internal_repr(value)
                    for name, value in sorted(trial.params.items())
                },
                "reports": [[step, number(value)] for step, value in sorted(trial.intermediate_values.items())],
                "user_attrs": {key: json.dumps(value) for key, value in sorted(trial.user_attrs.items())},
                "system_attrs": sorted(trial.system_attrs),
            }


def micros(time):
    if time is None:
        return None
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    time = time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    return (time - epoch) // datetime.timedelta(microseconds=1)


def main():
    url = f"sqlite:///{sys.argv[1]}"
    make(url)
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        for line in expected(url):
            print(json.dumps(line), file=out)


main()
