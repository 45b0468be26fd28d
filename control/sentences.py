"""What is wrong with a value, in words: a sentence for each of pydantic's types of error."""

from collections.abc import Mapping
from typing import Any

_TEXT = "must be a text"
_NUMBER = "must be a number"
_WHOLE = "must be a whole number"
_BOOL = "must be true or false"
_OBJECT = "must be an object"
_LIST = "must be a list"
_UUID = "must be a UUID, as 6f1e2c34-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
_TIME = "must be a time in ISO 8601 with its offset, as 2026-01-20T12:00:00Z"
_DATE = "must be a date in ISO 8601, as 2026-01-20"
_CLOCK = "must be a time of day, as 12:00:00"
_SPAN = "must be a duration in ISO 8601, as PT1H30M"
_URL = "must be a URL, as https://example.com/path"
_FILE = "must be a file"

SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is no field of this request",
    "invalid_key": "has a name that is no text",
    "json_invalid": "must be JSON",
    "json_type": "must be JSON",
    "recursion_loop": "must not contain itself",
    "recursion_depth_exceeded": "must not be nested so deeply",
    "none_required": "must be null",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "dict_type": _OBJECT,
    "mapping_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "iterable_type": _LIST,
    "set_item_not_hashable": "must be a text, a number, true, false or null",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "string_type": _TEXT,
    "string_unicode": "must be a text in UTF-8",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "string_not_ascii": "must be ASCII",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "bool_type": _BOOL,
    "bool_parsing": _BOOL,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "decimal_max_digits": "must have at most {max_digits} digits",
    "decimal_max_places": "must have at most {decimal_places} digits behind the point",
    "decimal_whole_digits": "must have at most {whole_digits} digits before the point",
    "bytes_type": _FILE,
    "bytes_too_short": "must have at least {min_length} bytes",
    "bytes_too_long": "must have at most {max_length} bytes",
    "bytes_invalid_encoding": "must be bytes in {encoding}",
    "date_type": _DATE,
    "date_parsing": _DATE,
    "date_from_datetime_parsing": _DATE,
    "date_from_datetime_inexact": "must be a date, without a time",
    "date_past": "must be a date in the past",
    "date_future": "must be a date in the future",
    "time_type": _CLOCK,
    "time_parsing": _CLOCK,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_past": "must be a time in the past",
    "datetime_future": "must be a time in the future",
    "timezone_naive": "must be a time without an offset",
    "timezone_aware": _TIME,
    "timezone_offset": "must be a time with another offset",
    "time_delta_type": _SPAN,
    "time_delta_parsing": _SPAN,
    "union_tag_invalid": "must be one of the kinds {expected_tags}",
    "union_tag_not_found": "must say of which kind it is",
    "url_type": _URL,
    "url_parsing": _URL,
    "url_syntax_violation": _URL,
    "url_too_long": "must be a URL of at most {max_length} characters",
    "url_scheme": "must be a URL that begins with {expected_schemes}",
    "uuid_type": _UUID,
    "uuid_parsing": _UUID,
    "uuid_version": "must be a UUID of version {expected_version}",
}
"""By the type; what is in braces is of the error's context. Whatever is not here tells of Python's
objects, which do not come in."""

_FORMS: Mapping[str, str] = {
    r"^\+[1-9][0-9]{6,14}$": "must be a telephone number in E.164, as +442071234567",
    r"^[a-z]{2,3}([_-][A-Za-z0-9]{2,8})*$": "must be a language, as en or en-GB",
    r"^[0-9]{2,10}$": "must be 2 to 10 digits",
    r"^[A-Z]{2}$": "must be a country of ISO 3166-1, as GB",
    r"^[a-z][a-z0-9_-]{0,62}$": "must be small letters, digits, _ and -, with a letter first, "
    "63 at most",
    r"^[a-z][a-z0-9_]{0,62}$": "must be small letters, digits and _, with a letter first, "
    "63 at most",
    r"^(AC[0-9a-f]{32})?$": "must be AC and 32 digits, 0-9 and a-f",
}
"""What the patterns of shapes and settings mean."""
OTHERWISE = "is not as it must be"
_ONE = {" 1 entries": " 1 entry", " 1 characters": " 1 character", " 1 bytes": " 1 byte"}


def sentence_of(item: Mapping[str, Any]) -> str:
    """:param item: of ``ValidationError.errors``."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in ("value_error", "assertion_error"):  # our own validator's words
        return str(context.get("error", OTHERWISE))
    if kind == "string_pattern_mismatch" and context["pattern"] in _FORMS:
        return _FORMS[context["pattern"]]
    if kind in SENTENCES:
        plain = {name: _plain(value) for name, value in context.items()}
        sentence = SENTENCES[kind].format_map(plain)
        for several, one in _ONE.items():
            if sentence.endswith(several):
                sentence = sentence.removesuffix(several) + one
        return sentence
    return OTHERWISE if kind in _OF_PYTHON else str(item["msg"])


def _plain(value: Any) -> Any:
    """A bound of a fraction's that is a whole number is told as one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_OF_PYTHON = frozenset(
    "no_such_attribute needs_python_object frozen_field frozen_instance get_attribute_error "
    "dataclass_exact_type named_tuple_type default_factory_not_called iteration_error "
    "frozen_dict_type ordered_dict_type counter_type deque_type missing_sentinel_error "
    "ellipsis_error is_instance_of is_subclass_of callable_type arguments_type missing_argument "
    "unexpected_keyword_argument missing_keyword_only_argument unexpected_positional_argument "
    "missing_positional_only_argument multiple_argument_values fraction_type fraction_parsing "
    "complex_type complex_str_parsing".split()
)
"""No shape of the API can bring them about. Every other type is a validator's of ours, whose words
are told as they are."""
