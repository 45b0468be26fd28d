"""Logging: structured, to standard error, for people or as JSON lines.

Log calls are fixed sentences with keys. Personal data (numbers, transcripts, tool arguments)
stands only under keys that begin with ``pii_`` and is dropped unless asked for.
"""

import logging
import sys
from typing import Any

import structlog


def configure_logs(*, json: bool, level: str = "INFO", pii: bool = False) -> None:
    """Set up logging for the process."""
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if json else structlog.processors.StackInfoRenderer(),
    ]
    if not pii:
        processors.insert(0, _drop_personal_data)
    renderer = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


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
