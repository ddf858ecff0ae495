"""Opening a study of N trials in Optuna's JournalRedisBackend, at full size: `redis_open.py N DIR`.

Running so many trials there would take most of a day, since Optuna stores a pickle of everything every hundred trials. So the logs of
500 real trials are repeated under new ids, replayed by Optuna's own code, and stored as its last user leaves them: the pickle at the
last multiple of a hundred, and the logs from there on. Prints the best of five openings.
"""

import json
import pickle
import sys
import time

import optuna
import redis
from measure import Redis
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalRedisBackend
from optuna.storages.journal import _storage as journal
from optuna.storages.journal._base import BaseJournalBackend

REAL_TRIALS = 500


class ListBackend(BaseJournalBackend):
    def __init__(self):
        self.logs = []

    def read_logs(self, log_number_from):
        return self.logs[log_number_from:]

    def append_logs(self, logs):
        self.logs += json.loads(json.dumps(logs))


def real_logs():
    """The logs that make the study, and those of each trial."""
    backend = ListBackend()
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(storage=JournalStorage(backend), study_name="bench", sampler=sampler)
    begin = len(backend.logs)
    study.optimize(lambda t: sum(t.suggest_float(f"x{i}", -5, 5) ** 2 for i in range(5)), n_trials=REAL_TRIALS)
    trials = []
    for log in backend.logs[begin:]:
        if log["op_code"] == journal.JournalOperation.CREATE_TRIAL:
            trials.append([])
        trials[-1].append(log)
    return backend.logs[:begin], trials


def left_behind(n):
    """The pickle, the logs from the trial at which it was made on, and how many logs there are."""
    begin, trials = real_logs()
    state = journal.JournalStorageReplayResult("bench-")
    state.apply_logs(begin)
    count, tail, snapshot = len(begin), [], b""
    last = (n - 1) // journal.SNAPSHOT_INTERVAL * journal.SNAPSHOT_INTERVAL
    for trial in range(n):
        logs = [{**log, "trial_id": trial} if "trial_id" in log else log for log in trials[trial % REAL_TRIALS]]
        state.apply_logs(logs[:1])
        if trial == last:
            snapshot = pickle.dumps(state)
        state.apply_logs(logs[1:])
        if trial >= last:
            tail += enumerate(logs, count)
        count += len(logs)
    return snapshot, tail, count


def main():
    n, directory = int(sys.argv[1]), sys.argv[2]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    snapshot, tail, count = left_behind(n)
    with Redis(directory) as url:
        client = redis.Redis.from_url(url)
        client.mset({":log_number": count - 1, ":snapshot": snapshot})
        client.mset({f":log:{number}": json.dumps(log) for number, log in tail})
        times = []
        for _ in range(5):
            wall, cpu = time.perf_counter(), time.process_time()
            storage = JournalStorage(JournalRedisBackend(url))
            found = storage.get_n_trials(storage.get_study_id_from_name("bench"))
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
            if found != n:
                sys.exit(f"there should be {n} trials, and there are {found}")
    print(json.dumps({"trials": n, "s": min(wall for wall, _ in times), "cpu": min(cpu for _, cpu in times)}))


if __name__ == "__main__":
    main()
