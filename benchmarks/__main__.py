"""``python -m benchmarks [MEASUREMENT ...] [--quick] [--loadgen PATH]``."""

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks import api, density, engine, greeting, local_vendors, micro, stalls
from benchmarks.bars import Bar, exit_status, show_bars
from benchmarks.machine import MachineError, on_core, pick_cores, work_us
from benchmarks.processes import ProcessFailed
from benchmarks.setting import ROOT, Outcome, Setting, say

MEASUREMENTS: Mapping[str, tuple[str, Callable[[Setting], Outcome]]] = {
    "micro": ("what a frame costs", micro.measure),
    "density": ("calls per core", density.measure),
    "stalls": ("what a joining call does to the others", stalls.measure),
    "engine": ("what the engine adds to its vendors' delays", engine.measure),
    "greeting": ("how long a caller waits for the first words", greeting.measure),
    "api": ("what the management API carries", api.measure),
    "local": ("a conversation with models on this machine", local_vendors.measure),
}
LOADGEN_VARIABLE = "VOICECORE_LOADGEN"


def main(argv: list[str] | None = None) -> int:
    """Exit status 0: every bar holds; 1: one does not, or could not be shown; 2: wrong usage,
    or no machine for this."""
    args = _arguments(argv)
    # Ended from outside it still ends the servers and callers that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        setting = _setting(args)
    except (MachineError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    began_s = time.monotonic()
    with on_core(setting.cores.server):
        calibration_us = work_us()
    say(
        f"server on core {setting.cores.server}, callers on core {setting.cores.callers}; "
        f"fixed work takes {calibration_us:.2f} us; load average {os.getloadavg()[0]:.1f}"
    )
    bars: list[Bar] = []
    figures: dict[str, object] = {}
    names = args.measurements or list(MEASUREMENTS)
    for name in names:
        title, measure = MEASUREMENTS[name]
        say(f"\n{name}: {title}")
        try:
            outcome = measure(msgspec.structs.replace(setting, folder=setting.sub(name)))
        except ProcessFailed as error:
            say(f"  {error}")
            outcome = Outcome((Bar(name, None, 0, "", "void", "the run broke down"),), {})
        bars.extend(outcome.bars)
        figures[name] = outcome.figures
        if outcome.bars and len(names) > 1:
            say("\n" + show_bars(outcome.bars))
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "quick": setting.quick,
        "calibration_us": calibration_us,
        "bars": msgspec.to_builtins(bars),
        "figures": figures,
    }
    path = setting.folder / "report.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    say(f"\nbars, after {time.monotonic() - began_s:.0f} s:\n{show_bars(bars)}\n\n{path}")
    return exit_status(bars)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("measurements", nargs="*", metavar="MEASUREMENT", help=", ".join(MEASUREMENTS))
    add("--quick", action="store_true", help="fewer and shorter runs: a look, not a proof")
    add(
        "--loadgen",
        type=Path,
        default=os.environ.get(LOADGEN_VARIABLE) or None,
        help=f"a second load generator for the density runs (or ${LOADGEN_VARIABLE})",
    )
    add("--nice", type=int, default=0, help="priority of server and callers, such as -15")
    add("--out", type=Path, default=ROOT / "var" / "bench", help="where results are left")
    args = parser.parse_args(argv)
    if unknown := set(args.measurements) - set(MEASUREMENTS):
        parser.error(
            f"no measurement {', '.join(sorted(unknown))}; known: {', '.join(MEASUREMENTS)}"
        )
    return args


def _setting(args: argparse.Namespace) -> Setting:
    """:raises MachineError, ValueError: this cannot be measured here."""
    loadgen = None if args.loadgen is None else Path(args.loadgen).resolve()
    if loadgen is not None and not loadgen.is_file():
        raise ValueError(f"there is no load generator at {loadgen}")
    folder = args.out / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    return Setting(folder.resolve(), pick_cores(), args.quick, args.nice, loadgen)


if __name__ == "__main__":
    sys.exit(main())
