"""Replay every recorded case against a server with each runner, and say what differs.

python -m tests.conformance [--only REGEX] [-v]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from .case import EXTRA_CASES, load_cases
from .replay import counts, replay, report
from .started import started

#: What is served, and by what.
SETUPS = (("memory", "daphne"), ("database", "uvicorn"))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="regular expression searched in case names")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference")
    options = parser.parse_args(arguments)

    failed = False
    for runner, server in SETUPS:
        cases = [*load_cases(options.only), *load_cases(options.only, EXTRA_CASES)]
        with started("tests.conformance.serve", "--server", server, "--runner", runner) as ready:
            results = asyncio.run(replay(cases, ready["ports"]))
        found = counts(results)
        print(f"\n{runner} runner, {server}:")
        for line in report(results, verbose=options.verbose):
            print(line)
        print(json.dumps(found), flush=True)
        failed = failed or bool(found["differs"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
