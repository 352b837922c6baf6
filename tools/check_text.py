"""No registry host and no absolute path of a machine in a tracked file."""

import re
import subprocess
import sys
from pathlib import Path

WRONG = re.compile(
    r"--(extra-)?index-url|index-url\s*=|\"resolved\":|registry\+http|files\.pythonho[s]ted|/home/\w+/|/root/\w+|/wor[k]/\w+"
)


def main() -> int:
    """Print each offence; 1 if there is one."""
    root = Path(__file__).resolve().parents[1]
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout  # noqa: S607
    status = 0
    for name in listed.splitlines():
        path = root / name
        if path.suffix == ".png" or path == Path(__file__).resolve() or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if WRONG.search(line):
                sys.stdout.write(f"{name}:{number}: a registry's host or a machine's path: {line.strip()[:80]}\n")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
