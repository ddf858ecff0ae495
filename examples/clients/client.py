"""Tunes a function from Python over `trialog stdio`: nothing but the standard library is needed."""

import itertools
import json
import subprocess
import sys


class Session:
    """A study, spoken to in JSON lines."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            ["trialog", "stdio", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ids = itertools.count(1)

    def call(self, verb, **fields):
        request = {"id": next(self.ids), "do": verb, **fields}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["ok"]


def main(storage):
    session = Session("-s", storage, "--study", "python", "--param", "x=float(-5, 5)", "--seed", "1")
    for _ in range(20):
        asked = session.call("ask")
        trial, x = asked["trial"], asked["params"]["x"]
        for step in range(3):
            session.call("report", trial=trial, step=step, value=(x - 2) ** 2 + 3 - step)
            if session.call("should_prune", trial=trial)["prune"]:
                session.call("tell", trial=trial, state="pruned")
                break
        else:
            session.call("tell", trial=trial, value=(x - 2) ** 2)
    best = session.call("best")[0]
    print(f"best {best['values'][0]:.3f} at x = {best['params']['x']:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
