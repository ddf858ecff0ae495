"""What Optuna does with a journal that it shares with Trialog: python worker.py ROLE STORAGE [ARGUMENT ..].

STORAGE is `file:PATH` or `open:PATH` for a file with one lock or the other, `redis:PREFIX:URL` or `cluster:PREFIX:URL`
for a server. Every role prints lines that the Rust side waits for; `dump` prints all studies with every field of every
trial, each float as its bits.
"""

import json
import math
import random
import struct
import sys
import warnings
from datetime import timezone

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import (
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
    JournalRedisBackend,
)
from optuna.trial import TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")


def storage_of(text):
    kind, rest = text.split(":", 1)
    if kind == "file":
        return JournalStorage(JournalFileBackend(rest, lock_obj=JournalFileSymlinkLock(rest)))
    if kind == "open":
        return JournalStorage(JournalFileBackend(rest, lock_obj=JournalFileOpenLock(rest)))
    prefix, url = rest.split(":", 1)
    return JournalStorage(JournalRedisBackend(url, use_cluster=kind == "cluster", prefix=prefix))


def say(*words):
    print(*words, flush=True)


def bits(value):
    return None if value is None else struct.pack(">d", float(value)).hex()


def micros(time):
    if time is None:
        return None
    aware = time.astimezone(timezone.utc)
    return (int(aware.timestamp()) if aware.microsecond == 0 else math.floor(aware.timestamp())) * 10**6 + aware.microsecond


def attrs(values):
    return {key: json.dumps(value, separators=(",", ":")) for key, value in values.items()}


def dump_trial(trial):
    values = trial._values if hasattr(trial, "_values") else trial.values
    return {
        "id": trial._trial_id,
        "number": trial.number,
        "state": int(trial.state),
        "values": [bits(value) for value in values or []],
        "start": micros(trial.datetime_start),
        "end": micros(trial.datetime_complete),
        "params": {
            name: [
                optuna.distributions.distribution_to_json(distribution),
                json.dumps(trial.params[name])
                if isinstance(distribution, CategoricalDistribution)
                else bits(trial.params[name]),
            ]
            for name, distribution in trial.distributions.items()
        },
        "reports": [[step, bits(value)] for step, value in sorted(trial.intermediate_values.items())],
        "user_attrs": attrs(trial.user_attrs),
        "system_attrs": attrs(trial.system_attrs),
    }


def dump(storage):
    studies = []
    for study in storage.get_all_studies():
        studies.append(
            {
                "id": study._study_id,
                "name": study.study_name,
                "directions": [int(direction) for direction in study.directions],
                "user_attrs": attrs(study.user_attrs),
                "system_attrs": attrs(study.system_attrs),
                "trials": [dump_trial(t) for t in storage.get_all_trials(study._study_id, deepcopy=False)],
            }
        )
    say("dump", json.dumps(studies))


def rich(storage):
    """Studies with everything that a journal of Optuna's can hold."""
    study = optuna.create_study(
        storage=storage,
        study_name="rich \u00e9\U0001f600 \ud83d",
        directions=["minimize", "maximize"],
        sampler=optuna.samplers.RandomSampler(1),
    )
    study.set_user_attr("note", {"a": [1, 2.5, None, True, "\u00e9\n\"\\"], "nan": float("nan"), "big": 10**30})
    study.set_metric_names(["loss", "accuracy"])
    odd = [None, True, 1.5, 3, "\u00e9", float("inf"), float("nan")]
    distributions = {
        "float": FloatDistribution(-1.0, 1.0),
        "log": FloatDistribution(1e-5, 1e22, log=True),
        "step": FloatDistribution(0.0, 1.0, step=0.1),
        "int": IntDistribution(-3, 9),
        "int log": IntDistribution(1, 1024, log=True),
        "int step": IntDistribution(0, 10, step=3),
        "odd": CategoricalDistribution(odd),
        "lists": CategoricalDistribution([[1, 2], {"a": 1}, [3]]),
        "twice": CategoricalDistribution(["a", "b", "a"]),
        "same": CategoricalDistribution([True, False]),
        "\ud83d \"quoted\"": FloatDistribution(0, 1),
    }
    for number in range(14):
        trial = study.ask(fixed_distributions=distributions)
        trial.set_user_attr("number", number)
        study.tell(trial, [number * 0.1, [math.inf, -math.inf, 1e-7, 1e16, 123456789.125][number % 5]])
    study.ask()
    study.enqueue_trial({"float": 0.25, "odd": None, "int": 4, "n": float("nan")}, user_attrs={"by": "python"})
    failed = study.ask()
    study.tell(failed, state=TrialState.FAIL)
    study.add_trial(
        optuna.trial.create_trial(
            values=[1.0, 2.0],
            params={"int": 5, "step": 0.3, "odd": "\u00e9"},
            distributions={name: distributions[name] for name in ["int", "step", "odd"]},
            user_attrs={"x": [1]},
            system_attrs={"constraints": [0.5, -1], "other": "y"},
            intermediate_values={5: 0.1, 3: float("nan"), 10: -math.inf},
        )
    )
    single = optuna.create_study(
        storage=storage, study_name="single", direction="maximize", sampler=optuna.samplers.RandomSampler(2)
    )
    for number in range(6):
        trial = single.ask()
        x = trial.suggest_float("x", 0, 1)
        if number % 2:
            trial.suggest_categorical("only odd", [1, 2])
        # Python takes these for the lists before, so they are one parameter.
        trial.suggest_categorical("equal", [[0, 1], [0.0, True], [False, 1.0]][number % 3])
        for step in range(number):
            trial.report([x, math.nan, math.inf, -math.inf][step % 4], step * 3)
        storage.set_trial_system_attr(trial._trial_id, "constraints", [x - 0.5, -1.0])
        storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", "8004954b2a")
        if number == 4:
            single.tell(trial, state=TrialState.PRUNED)
        else:
            single.tell(trial, x)
    gone = optuna.create_study(storage=storage, study_name="gone")
    left = gone.ask()
    optuna.delete_study(study_name="gone", storage=storage)
    storage.set_trial_user_attr(left._trial_id, "after", 1)
    try:
        optuna.create_study(storage=storage, study_name="single")
    except optuna.exceptions.DuplicatedStudyError:
        pass
    else:
        sys.exit("a study was made twice")
    optuna.create_study(storage=storage, study_name="gone").ask().suggest_int("after all", 1, 3)
    say("done")


def objective(stream, trial):
    x = trial.suggest_float("x", -5.0, 5.0)
    n = trial.suggest_int("n", 1, 64, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    if kind == "b":
        trial.suggest_float("only b", 0.0, 1.0, step=0.25)
    for step in range(stream.randrange(4)):
        trial.report(stream.choice([x * step, math.nan, math.inf]), step)
    trial.set_user_attr("by", "python")
    if hasattr(trial, "set_constraint"):
        trial.set_constraint("c", x - 4.0)
    return x * x + n


def work(storage, seed, trials, forever=False):
    """Runs trials, some of which are pruned or fail, and enqueues others for whoever comes first."""
    stream = random.Random(seed)
    study = optuna.load_study(storage=storage, study_name="shared", sampler=optuna.samplers.RandomSampler(seed))
    done = 0
    while forever or done < trials:
        done += 1
        if stream.random() < 0.3:
            study.enqueue_trial({"x": stream.uniform(-5, 5), "kind": "b"}, user_attrs={"enqueued by": "python"})
        trial = study.ask()
        value = objective(stream, trial)
        end = stream.random()
        if end < 0.15:
            study.tell(trial, state=TrialState.FAIL)
        elif end < 0.3:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, stream.choice([value, value, value, math.inf]))
        if forever:
            say("told", trial.number)
    say("done")


def claim(storage):
    """Asks until nothing waits any longer, and says which trials it got."""
    study = optuna.load_study(storage=storage, study_name="shared", sampler=optuna.samplers.RandomSampler(0))
    while True:
        trial = study.ask()
        ticket = trial.suggest_int("ticket", -1, 1000000)
        if "fixed_params" not in storage.get_trial(trial._trial_id).system_attrs:
            study.tell(trial, state=TrialState.FAIL)
            break
        say("ticket", ticket)
        study.tell(trial, 0.0)
    say("done")


def main():
    role, storage, *rest = sys.argv[1:]
    storage = storage_of(storage)
    if role == "dump":
        dump(storage)
    elif role == "rich":
        rich(storage)
    elif role == "work":
        work(storage, int(rest[0]), int(rest[1]))
    elif role == "forever":
        work(storage, int(rest[0]), 0, forever=True)
    elif role == "claim":
        claim(storage)
    else:
        sys.exit(f"no such role: {role}")


if __name__ == "__main__":
    main()
