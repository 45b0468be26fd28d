"""Simulate calls: ``python -m tests.sim --seed N --calls M``.

Every seed that ever failed is run first. A call that breaks an invariant is told with its own
seed, from which it can be run again: ``python -m tests.sim --call SEED --trace FILE``.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.sim import timers
from tests.sim.plan import call_seed
from tests.sim.run import Outcome, run_call
from tests.sim.seeds import SEEDS, known_seeds
from tests.sim.tally import Tally
from tests.sim.trace import Trace

BATCHES = 10, 100
"""How many calls a process takes at a time: few towards the end, so that all are done at once."""
COLLECT_EVERY = 20
SHOWN = 10
COMPILED = not timers.__file__.endswith(".py")


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_batch(seeds: list[int]) -> Tally:
    tally = Tally()
    began_s = time.process_time()
    gc.disable()  # what a call leaves is in circles: they are taken many at once
    gc.freeze()
    for number, seed in enumerate(seeds, 1):
        tally.count(run_call(seed))
        if number % COLLECT_EVERY == 0:
            gc.collect()
    gc.collect()
    tally.cpu_s = time.process_time() - began_s
    return tally


def _batches(options: argparse.Namespace) -> Iterator[list[int]]:
    known = known_seeds() if options.known else []
    seeds = [*known, *(call_seed(options.seed, number) for number in range(options.calls))]
    fewest, most = BATCHES
    start = 0
    while start < len(seeds):
        share = (len(seeds) - start) // (3 * options.jobs)
        end = start + min(max(share, fewest), most)
        yield seeds[start:end]
        start = end


def _run_all(options: argparse.Namespace) -> Tally:
    total = Tally()
    batches = list(_batches(options))
    calls = sum(map(len, batches))
    again = f"--seed {options.seed} --calls {options.calls} --jobs {options.jobs}"
    how = "simulating, compiled" if COMPILED else "simulating"
    tell(f"{how}; the same again: python -m tests.sim {again}")
    began_s = time.perf_counter()
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            for tally in pool.map(run_batch, batches):
                _progress(total, tally, calls, time.perf_counter() - began_s)
    else:
        for tally in map(run_batch, batches):
            _progress(total, tally, calls, time.perf_counter() - began_s)
    sys.stderr.write("\n")
    tell(f"seed {options.seed}: {total.summary(time.perf_counter() - began_s)}")
    return total


def _progress(total: Tally, tally: Tally, calls: int, took_s: float) -> None:
    """Tell what failed, how far it is, and how long it will take yet."""
    shown = len(total.failed)
    total.add(tally)
    share = total.calls / calls
    for outcome in total.failed[shown : max(shown, SHOWN)]:
        show(outcome)
    left_s = round(took_s * (1 - share) / share)
    sys.stderr.write(
        f"\r{total.calls} calls, {share:.0%}, {total.simulated_s / 3600:.0f} call-hours, "
        f"{len(total.failed)} failed, {left_s // 60}:{left_s % 60:02} left "
    )
    sys.stderr.flush()


def show(outcome: Outcome) -> None:
    """Tell what is wrong with a call, and how to see it again."""
    tell(f"\ncall {outcome.seed} ({outcome.plan})")
    for what in outcome.wrong[:5]:
        tell(f"    invariant {what[:400]}")
    tell(f"    again: python -m tests.sim --call {outcome.seed} --trace trace.txt")
    tell(f"    keep:  echo '{outcome.seed} why' >> {SEEDS.name}")


def _run_one(seed: int, trace: Path | None) -> int:
    noted = Trace()
    outcome = run_call(seed, noted.note)
    if trace is not None:
        trace.write_bytes(noted.content)
    if outcome.wrong:
        show(outcome)
    for name in outcome.known:
        tell(f"known: {name}")
    tell(f"{outcome.simulated_s:.1f} s, {outcome.reasons}, {outcome.plan}")
    tell(f"trace {noted.digest}")
    return 1 if outcome.wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the whole run")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--call", type=int, help="one call, by its own seed")
    parser.add_argument("--trace", type=Path, help="with --call: everything that happened")
    parser.add_argument("--no-known", dest="known", action="store_false", help="skip seeds.txt")
    options = parser.parse_args()
    if options.call is not None:
        return _run_one(options.call, options.trace)
    total = _run_all(options)
    return 1 if total.failed or total.missing else 0


if __name__ == "__main__":
    sys.exit(main())
