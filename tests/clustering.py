"""The laboratory on a Dask cluster, in a process that has Dask's libraries: they stand beside the suite's (requirements/dask.in).

Each line it reads is a JSON list: the address of a scheduler, how many tasks of `theory`, a directory for their rows, and how long an
answer may take, in seconds. It says how many tasks are done, and at last what came of it, each as a line of JSON.
"""

import json
import sys
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from lab.experiment import Made
from lab.io import results, runner
from lab.theory.study import EXPERIMENTS

THEORY = EXPERIMENTS[0]
SEED = 3


def rows_of(tasks: int, pool: Executor, directory: Path, progress: runner.Progress) -> Path:
    """The file of their rows."""
    some = replace(THEORY, tasks=lambda scale, seed: THEORY.tasks(scale, seed)[:tasks])
    table = runner.run(some, "quick", SEED, pool, progress)
    return results.write(directory, Made(some.name, "quick", SEED, "v1"), table)


def say(said: object) -> None:
    """To whoever asked."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def main() -> None:
    """See the module. Ends when there is nothing to read any more."""
    for line in sys.stdin:
        address, tasks, directory, runner.ANSWER_S = json.loads(line)
        try:
            with runner.executor(jobs=1, dask=address) as pool:
                written = rows_of(tasks, pool, Path(directory), lambda done, _: say(done))
        except runner.LabError as error:
            say(str(error))
        else:
            say(str(written))


if __name__ == "__main__":
    main()
