"""One measurement of one peer: python measure.py PEER NAME --n N --dir DIR.

Prints one JSON object per figure: name, unit, value, and what helps to judge it. The names and what they mean are in
README.md; Trialog's own program takes the same words.
"""

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time

from peers import HIGH, LOW, NAMES, PEERS, suggest

ASKS = 25
WORKERS = 16
MILLION = 1_000_000
HUNDRED_THOUSAND = 100_000
NEVER = 1_000_000_000


def figure(name, unit, value, **more):
    print(json.dumps({"name": name, "unit": unit, "value": value, **more}), flush=True)


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self):
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def run_trials(peer, study, n):
    for _ in range(n):
        trial = study.ask()
        peer.tell(study, trial, suggest(trial))


def preload(peer, study, n):
    """Adds n finished trials with random parameters."""
    stream = random.Random(0)
    for _ in range(n):
        params = {name: stream.uniform(LOW, HIGH) for name in NAMES}
        peer.add(study, params, sum(value**2 for value in params.values()))


def journal(directory):
    return os.path.join(directory, "study.log")


def check(found, expected):
    if found != expected:
        sys.exit(f"there should be {expected} trials, and there are {found}")


def trial_rate(peer, study, name, n):
    clock = Clock()
    run_trials(peer, study, n)
    wall, cpu = clock.read()
    check(peer.count(study), n)
    figure(name, "trials/s", n / wall, cpu_us_per_trial=cpu / n * 1e6)


def file_random(peer, name, n, directory):
    trial_rate(peer, peer.study(peer.file_storage(journal(directory)), peer.random(1)), name, n)


def memory_random(peer, name, n, _):
    trial_rate(peer, peer.study(peer.memory_storage(), peer.random(1)), name, n)


def file_random_processes(peer, name, n, directory):
    """n trials in one file, shared out among worker processes; imports and opening are not timed."""
    peer.study(peer.file_storage(journal(directory)), peer.random(0))
    share = [n // WORKERS + (index < n % WORKERS) for index in range(WORKERS)]
    command = [sys.executable, __file__, sys.argv[1], "worker", "--dir", directory]
    workers = [
        subprocess.Popen(
            [*command, "--n", str(count), "--seed", str(index + 1)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index, count in enumerate(share)
    ]
    for worker in workers:
        if worker.stdout.readline().strip() != "ready":
            sys.exit("a worker did not start")
    clock = Clock()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    cpu = sum(float(worker.stdout.readline() or "nan") for worker in workers)
    wall, _ = clock.read()
    if any(worker.wait() != 0 for worker in workers):
        sys.exit("a worker failed")
    study = peer.study(peer.file_storage(journal(directory)), peer.random(0))
    check(peer.count(study), n)
    figure(name, "trials/s", n / wall, workers=WORKERS, cpu_us_per_trial=cpu / n * 1e6)


def worker(peer, n, directory, seed):
    """One of the processes above: says it is ready, waits for the word, works, says how much time it took."""
    study = peer.study(peer.file_storage(journal(directory)), peer.random(seed))
    print("ready", flush=True)
    sys.stdin.readline()
    clock = Clock()
    run_trials(peer, study, n)
    print(clock.read()[1], flush=True)


def time_asks(peer, study, name):
    """The time for one ask and five suggestions; each trial is told before the next ask."""
    walls, cpus = [], []
    for _ in range(ASKS):
        clock = Clock()
        trial = study.ask()
        value = suggest(trial)
        wall, cpu = clock.read()
        walls.append(wall * 1e6)
        cpus.append(cpu * 1e6)
        peer.tell(study, trial, value)
    figure(
        name,
        "us",
        statistics.median(walls),
        wall_min=min(walls),
        cpu_median=statistics.median(cpus),
        cpu_min=min(cpus),
        samples=ASKS,
    )


def tpe_ask(peer, name, n, _):
    study = peer.study(peer.memory_storage(), peer.tpe(1))
    preload(peer, study, n)
    time_asks(peer, study, name)


def gp_study(peer, n):
    """A study beside which nothing is known: the sampler of the one before has gone with it."""
    study = peer.study(peer.memory_storage(), peer.gp(1))
    preload(peer, study, n)
    return study


def run_one(peer, study):
    clock = Clock()
    trial = study.ask()
    value = suggest(trial)
    time = clock.read()
    peer.tell(study, trial, value)
    return time


def mean_cpu(name, times):
    """The mean processor time, which a busy machine blurs least."""
    walls, cpus = zip(*times)
    figure(name, "us", statistics.mean(cpus) * 1e6, wall_min=min(walls) * 1e6, samples=len(times))


def gp_ask(peer, name, n, _):
    """Suggestions of a sampler that goes on from what it knew before: the first one is not counted."""
    study = gp_study(peer, n)
    run_one(peer, study)
    mean_cpu(name, [run_one(peer, study) for _ in range(ASKS)])


def gp_first_ask(peer, name, n, _):
    """The first suggestion beside trials that the sampler has never seen; a small study before it has loaded PyTorch."""
    run_one(peer, gp_study(peer, 20))
    mean_cpu(name, [run_one(peer, gp_study(peer, n)) for _ in range(ASKS)])


def ask_with_dead_worker(peer, name, n, _):
    """A worker died in the first trial, which runs for ever; n trials have finished since.

    TPE that never leaves its start-up: it looks at the trials for their common search space, and builds no model.
    """
    study = peer.study(peer.memory_storage(), peer.tpe(1, startup=NEVER))
    suggest(study.ask())
    preload(peer, study, n)
    time_asks(peer, study, name)


def best_trial(peer, name, n, _):
    study = peer.study(peer.memory_storage(), peer.random(1))
    preload(peer, study, n)
    walls = []
    for _ in range(ASKS):
        clock = Clock()
        peer.best_value(study)
        walls.append(clock.read()[0] * 1e6)
    figure(name, "us", statistics.median(walls), wall_min=min(walls), samples=ASKS)


def write_journal(peer, n, directory):
    """Writes a journal of n trials quickly: one real trial's lines, repeated with other trial ids.

    Both peers number trial ids from zero in the order of creation, so that the lines of trial k are those of trial 0
    with k in the place of the id.
    """
    path = journal(directory)
    study = peer.study(peer.file_storage(path), peer.random(1))
    run_trials(peer, study, 1)
    del study
    with open(path) as lines:
        records = [json.loads(line) for line in lines]
    first = next(index for index, record in enumerate(records) if record["op_code"] == 4)
    pattern = records[first:]
    with open(path, "a") as lines:
        for number in range(1, n):
            for record in pattern:
                if "trial_id" in record:
                    record["trial_id"] = number
                lines.write(json.dumps(record, separators=(",", ":")) + "\n")
    return path


def open_journal(peer, n, directory):
    path = write_journal(peer, n, directory)
    clock = Clock()
    study = peer.study(peer.file_storage(path), peer.random(1))
    found = peer.count(study)
    wall, cpu = clock.read()
    check(found, n)
    return wall, cpu


def replay(peer, name, n, directory):
    wall, cpu = open_journal(peer, n, directory)
    note = {} if n == MILLION else {"note": f"{sys.argv[1]} at {n:,} trials, scaled to a million"}
    figure(name, "s", wall * MILLION / n, cpu=cpu * MILLION / n, **note)


def open_study(peer, name, n, directory):
    wall, cpu = open_journal(peer, n, directory)
    figure(name, "s", wall, cpu=cpu)


def bytes_per_trial(peer, name, n, directory):
    path = journal(directory)
    study = peer.study(peer.file_storage(path), peer.random(1))
    before = os.path.getsize(path)
    run_trials(peer, study, n)
    figure(name, "bytes", (os.path.getsize(path) - before) / n)


MEASURES = {
    "file-random-disk": file_random,
    "file-random-ram": file_random,
    "file-random-16-processes": file_random_processes,
    "memory-random": memory_random,
    "tpe-ask-1k": tpe_ask,
    "tpe-ask-10k": tpe_ask,
    "gp-ask-100": gp_ask,
    "gp-first-ask-100": gp_first_ask,
    "replay-1m": replay,
    "open-50k": open_study,
    "optuna-random-disk": file_random,
    "optuna-open-50k": open_study,
    "bytes-per-trial": bytes_per_trial,
    "best-trial-10k": best_trial,
    "ask-with-dead-worker-10k": ask_with_dead_worker,
}


class Redis:
    """A server of our own on a free port, without persistence."""

    def __init__(self, directory):
        import redis

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.url = f"redis://127.0.0.1:{port}"
        client = redis.Redis(port=port)
        for _ in range(1000):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                time.sleep(0.01)
        sys.exit("redis-server does not come up")

    def __enter__(self):
        return self.url

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()


def redis_random(peer, name, n, directory):
    with Redis(directory) as url:
        trial_rate(peer, peer.study(peer.redis_storage(url), peer.random(1)), name, n)


def redis_open(peer, name, n, directory):
    """Opens a study of n trials on Redis as its last user left it; scaled to 100,000."""
    with Redis(directory) as url:
        run_trials(peer, peer.study(peer.redis_storage(url), peer.random(1)), n)
        clock = Clock()
        study = peer.study(peer.redis_storage(url), peer.random(1))
        check(peer.count(study), n)
        wall, cpu = clock.read()
    scale = HUNDRED_THOUSAND / n
    figure(name, "s", wall * scale, cpu=cpu * scale, note=f"{n} trials, scaled to 100,000")


MEASURES["redis-random"] = redis_random
MEASURES["redis-open-100k"] = redis_open


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("name", choices=[*MEASURES, "worker"])
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    peer = PEERS[given.peer]()
    if given.name == "worker":
        worker(peer, given.n, given.dir, given.seed)
    else:
        MEASURES[given.name](peer, given.name, given.n, given.dir)


if __name__ == "__main__":
    main()
