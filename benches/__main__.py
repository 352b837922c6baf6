"""`python -m benches`: results as JSON with the machine; status 1 where a limit is exceeded."""

import json
import os
import platform
import sys

from benches import codec


def main() -> int:
    """Run all benches."""
    results = {"codec": codec.run()}
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    sys.stdout.write(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    return 0 if all(result["ok"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
