"""What the commands share: how their help looks, numbers that are checked, the event loop."""

import argparse
import asyncio
from collections.abc import Callable


def add_command(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    *,
    summary: str,
    description: str,
    examples: str,
) -> argparse.ArgumentParser:
    """A command whose help begins with ``description`` and ends with ``examples``, a command a
    line. ``summary`` stands in the list of commands."""
    indented = "".join(f"  {line}\n" for line in examples.strip().splitlines())
    return subparsers.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{indented}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """For an option's ``type``: a whole number in bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number, {low} to {high}")
        return int(text)

    return parse


def positive(text: str) -> float:
    """For an option's ``type``: a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError("must be a number above 0")
    return number


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The loop that calls run on."""
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
