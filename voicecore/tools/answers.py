"""What the model gets of an HTTP tool's answer. Pure."""

from typing import Any

import msgspec

_CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252")
_NOT_TEXT = ("text/html", "text/css", "text/javascript")


class AnswerError(Exception):
    """An answer that is of no use. ``code`` is stable: ``bad_response`` (not what its content
    type says), ``wrong_content_type``, ``no_such_result``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def is_readable(content_type: str) -> bool:
    """Whether a content type is JSON or plain text; none at all counts as text."""
    return _is_json(content_type) or (
        content_type not in _NOT_TEXT and (not content_type or content_type.startswith("text/"))
    )


def read_answer(body: bytes, content_type: str, charset: str, result_path: str) -> str:
    """The text for the model: the part at ``result_path``, as compact JSON unless it is text.

    :raises AnswerError: there is no such thing."""
    if not is_readable(content_type):
        detail = f"the tool's server answered with {content_type[:80]}, not JSON or plain text"
        raise AnswerError("wrong_content_type", detail)
    if not _is_json(content_type) and not result_path:
        return decode_text(body, charset)
    try:
        part = _part(msgspec.json.decode(body), result_path)
        return part if isinstance(part, str) else msgspec.json.encode(part).decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise AnswerError("bad_response", "the tool's server sent invalid JSON") from None


def decode_text(body: bytes, charset: str) -> str:
    return body.decode(charset if charset in _CHARSETS else "utf-8", errors="replace")


def shorten(text: str, limit_bytes: int) -> str:
    """The text, or its beginning with a note that there was more."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit_bytes:
        return text
    kept = encoded[:limit_bytes].decode(errors="ignore")
    return f"{kept}\n[cut off: {len(encoded)} bytes in all]"


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _part(value: Any, path: str) -> Any:
    for step in path.split(".") if path else ():
        if isinstance(value, list) and step.isdecimal() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            raise AnswerError("no_such_result", f"the tool's answer has no {path}")
    return value
