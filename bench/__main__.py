"""`python -m bench`: all benchmarks, or the ones named."""

from __future__ import annotations

import argparse
import json
import sys

from bench.figures import Figure
from bench.machine import describe

USUAL = ["steps", "decode", "paths", "throughput", "latency", "restart", "emit"]
LONG = ["memory", "starved", "starved-and-killed", "soak"]
"""Only when named."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        metavar="BENCHMARK",
        help=f"of {', '.join([*USUAL, *LONG])}; the default is all but the last {len(LONG)}",
    )
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="events of a run of throughput, restart or memory"
    )
    parser.add_argument(
        "--minutes", type=float, help="length of starved (default: 30) or of soak (default: 60)"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    arguments = parser.parse_args()
    if unknown := set(arguments.what) - {*USUAL, *LONG}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join([*USUAL, *LONG])}")
    chosen = arguments.what or USUAL
    figures: list[Figure] = []
    print(f"machine: {describe()}", file=sys.stderr)
    for name in chosen:
        print(f"running {name} …", file=sys.stderr, flush=True)
        figures += run(name, arguments)
    if arguments.json:
        print(
            json.dumps({"machine": describe(), "figures": [figure.record() for figure in figures]}, indent=2)
        )
    else:
        print("\n".join(figure.line() for figure in figures))


def run(name: str, arguments: argparse.Namespace) -> list[Figure]:
    """One benchmark."""
    if name == "steps":
        from bench.steps import steps

        return steps(batches=12, runs=arguments.runs)
    if name == "decode":
        from bench.decode import decode

        return decode(runs=arguments.runs)
    if name == "paths":
        from bench.paths import paths

        return paths(runs=arguments.runs)
    from bench.stand import stand

    if name == "throughput":
        from bench.throughput import throughput

        with stand() as made:
            return throughput(made, events=arguments.events, runs=arguments.runs)
    if name.startswith("starved"):
        from bench.starved import starved

        with stand() as made:
            return starved(made, minutes=arguments.minutes or 30.0, is_killed=name == "starved-and-killed")
    if name == "soak":
        from bench.soak import soak

        with stand() as made:
            return soak(made, minutes=arguments.minutes or 60.0)
    if name == "memory":
        from bench.memory import memory

        with stand() as made:
            return memory(made, events=arguments.events, runs=arguments.runs)
    if name == "restart":
        from bench.restart import restart

        with stand() as made:
            return restart(made, events=arguments.events, runs=arguments.runs)
    if name == "latency":
        from bench.latency import latency
        from bench.traffic import SERIES

        with stand() as made:
            few = latency(made, per_second=10_000, seconds=20, runs=arguments.runs, series=SERIES)
            return few + latency(made, per_second=10_000, seconds=60, runs=1, series=10_000)
    from bench.sdk_emit import emit

    return emit(runs=arguments.runs)


if __name__ == "__main__":
    main()
