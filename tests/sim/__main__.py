"""Simulate calls: ``python -m tests.sim --seed N --calls M``.

Every seed that ever failed is run first. A call that breaks an invariant is told with its own
seed, from which it can be run again: ``python -m tests.sim --call SEED --trace FILE``.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from tests.sim.plan import call_seed
from tests.sim.run import Outcome, run_call
from tests.sim.seeds import SEEDS, known_seeds
from tests.sim.trace import Trace

BATCH = 100
COLLECT_EVERY = 20
SHOWN = 10


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Tally(msgspec.Struct):
    """What a batch of calls came to."""

    calls: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    steps: int = 0
    reasons: dict[str, int] = {}
    failed: list[Outcome] = []
    known: dict[str, list[int]] = {}
    """The seeds that show a known issue."""

    def add(self, other: "Tally") -> None:
        self.calls += other.calls
        self.simulated_s += other.simulated_s
        self.cpu_s += other.cpu_s
        self.steps += other.steps
        self.failed += other.failed
        for reason, count in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        for name, seeds in other.known.items():
            self.known.setdefault(name, []).extend(seeds)


def run_batch(seeds: list[int]) -> Tally:
    tally = Tally()
    began_s = time.process_time()
    gc.disable()  # what a call leaves is in circles: they are taken many at once
    gc.freeze()
    for number, seed in enumerate(seeds, 1):
        outcome = run_call(seed)
        tally.calls += 1
        tally.simulated_s += outcome.simulated_s
        tally.steps += outcome.steps
        for reason in outcome.reasons:
            tally.reasons[reason] = tally.reasons.get(reason, 0) + 1
        for name in outcome.known:
            tally.known.setdefault(name, []).append(seed)
        if outcome.wrong:
            tally.failed.append(outcome)
        if number % COLLECT_EVERY == 0:
            gc.collect()
    gc.collect()
    tally.cpu_s = time.process_time() - began_s
    return tally


def _batches(options: argparse.Namespace) -> Iterator[list[int]]:
    known = known_seeds() if options.known else []
    seeds = [*known, *(call_seed(options.seed, number) for number in range(options.calls))]
    for start in range(0, len(seeds), BATCH):
        yield seeds[start : start + BATCH]


def _run_all(options: argparse.Namespace) -> Tally:
    total = Tally()
    began_s = time.perf_counter()
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            for tally in pool.map(run_batch, _batches(options)):
                _progress(total, tally)
    else:
        for batch in _batches(options):
            _progress(total, run_batch(batch))
    took_s = time.perf_counter() - began_s
    reasons = ", ".join(f"{name} {count}" for name, count in sorted(total.reasons.items()))
    tell(
        f"seed {options.seed}: {total.calls} calls, {total.simulated_s / 3600:.1f} call-hours in "
        f"{took_s:.0f} s ({total.simulated_s / 60 / took_s:.0f} call-hours a minute; "
        f"{total.simulated_s / total.cpu_s:.0f} call-seconds a CPU-second)\nended by: {reasons}\n"
        f"{len(total.failed)} calls broke an invariant"
    )
    for name, seeds in sorted(total.known.items()):
        tell(f"known, in {len(seeds)} calls ({seeds[0]}): {name}")
    return total


def _progress(total: Tally, tally: Tally) -> None:
    shown = len(total.failed)
    total.add(tally)
    for outcome in total.failed[shown : max(shown, SHOWN)]:
        show(outcome)
    sys.stderr.write(f"\r{total.calls} calls")
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
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--call", type=int, help="one call, by its own seed")
    parser.add_argument("--trace", type=Path, help="with --call: everything that happened")
    parser.add_argument("--no-known", dest="known", action="store_false", help="skip seeds.txt")
    options = parser.parse_args()
    if options.call is not None:
        return _run_one(options.call, options.trace)
    return 1 if _run_all(options).failed else 0


if __name__ == "__main__":
    sys.exit(main())
