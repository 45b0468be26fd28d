"""Logging: structured, to standard error, for people or as JSON lines.

Log calls are fixed sentences with keys. Personal data (numbers, transcripts, tool arguments)
stands only under keys that begin with ``pii_`` and is dropped unless asked for. A traceback has no
variables in it: they hold passwords and tokens, and printing them takes seconds.
"""

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO

import structlog

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_TELL_VALUES = frozenset(
    ("pydantic_core._pydantic_core.ValidationError", "asyncpg.exceptions.DataError")
)
"""Exceptions whose text holds what they were given, and those that are made of them."""
NOT_TOLD = "(its text holds the value)"


def configure_logs(*, json: bool, level: str = "INFO", pii: bool = False) -> None:
    """Set up logging for the process."""
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(traceback_of)
        if json
        else structlog.processors.StackInfoRenderer(),
    ]
    if not pii:
        processors.insert(0, _drop_personal_data)
    renderer = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=_print_traceback
        )
    )
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


def traceback_of(exc_info: ExcInfo) -> str:
    """What is logged of an exception: the lines it came by, and those of its causes."""
    told = traceback.TracebackException(*exc_info, compact=True)
    _leave_out_values(told, exc_info[1])
    return "".join(told.format()).rstrip("\n")


def _leave_out_values(told: traceback.TracebackException, error: BaseException) -> None:
    """``_str`` is its text, in every Python there is; tests/control/test_logs.py would tell."""
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if names & _TELL_VALUES:
        told._str = NOT_TOLD  # type: ignore[attr-defined]
    elif getattr(error, "detail", None) and "asyncpg.exceptions._base.PostgresError" in names:
        told._str = str(error.args[0])  # type: ignore[attr-defined]  # not: Key (email)=(...)
    inner = [(told.__cause__, error.__cause__), (told.__context__, error.__context__)]
    if isinstance(error, BaseExceptionGroup):
        inner += zip(told.exceptions or (), error.exceptions, strict=True)
    for its, cause in inner:
        if its is not None and cause is not None:
            _leave_out_values(its, cause)


def _print_traceback(target: TextIO, exc_info: ExcInfo) -> None:
    target.write("\n" + traceback_of(exc_info))


class _ToStructlog(logging.Handler):
    """Libraries' own log records, in the same form as ours."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(
            max(record.levelno, logging.WARNING),
            "library log",
            logger=record.name,
            detail=record.getMessage(),
            exc_info=record.exc_info,
        )


def _drop_personal_data(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if not key.startswith("pii_")}
