"""The libraries that Trialog is compared with, each behind the same few functions.

What is measured stands in measure.py; this file only knows how each library spells it.
"""

NAMES = [f"x{index}" for index in range(5)]
LOW, HIGH = -5.0, 5.0


def suggest(trial):
    """Asks for the five parameters and returns the sum of their squares."""
    return sum(trial.suggest_float(name, LOW, HIGH) ** 2 for name in NAMES)


class Optuna:
    """Optuna with the journal that Trialog takes the place of."""

    def __init__(self):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna = optuna
        self.distributions = {name: optuna.distributions.FloatDistribution(LOW, HIGH) for name in NAMES}

    def file_storage(self, path):
        journal = self.optuna.storages.journal
        return journal.JournalStorage(journal.JournalFileBackend(path))

    def redis_storage(self, url):
        journal = self.optuna.storages.journal
        return journal.JournalStorage(journal.JournalRedisBackend(url))

    def memory_storage(self):
        return self.optuna.storages.InMemoryStorage()

    def random(self, seed):
        return self.optuna.samplers.RandomSampler(seed=seed)

    def tpe(self, seed, startup=10):
        return self.optuna.samplers.TPESampler(
            seed=seed, multivariate=True, n_startup_trials=startup
        )

    def gp(self, seed):
        return self.optuna.samplers.GPSampler(seed=seed)

    def study(self, storage, sampler):
        return self.optuna.create_study(
            study_name="bench", storage=storage, sampler=sampler, load_if_exists=True
        )

    def add(self, study, params, value):
        """Adds one finished trial."""
        study.add_trial(
            self.optuna.trial.create_trial(params=params, distributions=self.distributions, value=value)
        )

    def tell(self, study, trial, value):
        study.tell(trial, value)

    def best_value(self, study):
        return study.best_trial.value

    def count(self, study):
        return len(study.get_trials(deepcopy=False))


class Rustuna:
    """Rustuna, Optuna's own port to Rust, through its Python package."""

    def __init__(self):
        import rustuna

        self.rustuna = rustuna
        self.distributions = {
            name: rustuna.distributions.FloatDistribution(LOW, HIGH) for name in NAMES
        }

    def file_storage(self, path):
        return self.rustuna.storages.JournalFileStorage(path)

    def memory_storage(self):
        return self.rustuna.storages.InMemoryStorage()

    def random(self, seed):
        return self.rustuna.samplers.RandomSampler(seed=seed)

    def tpe(self, seed, startup=10):
        return self.rustuna.samplers.TPESampler(
            seed=seed, multivariate=True, n_startup_trials=startup
        )

    def study(self, storage, sampler):
        return self.rustuna.create_study(
            study_name="bench", storage=storage, sampler=sampler, load_if_exists=True
        )

    def add(self, study, params, value):
        """Adds one finished trial."""
        study.add_trial(
            self.rustuna.create_trial(params=params, distributions=self.distributions, value=value)
        )

    def tell(self, study, trial, value):
        study.tell(trial.number, value)

    def best_value(self, study):
        return study.best_trial.value

    def count(self, study):
        return len(study.trials)


PEERS = {"optuna": Optuna, "rustuna": Rustuna}
