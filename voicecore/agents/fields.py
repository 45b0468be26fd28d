"""What the parts of an agent file share: strict models and the kinds of their values."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints


class Block(BaseModel):
    """A block of an agent file: immutable, and nothing in it is ignored."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=False, hide_input_in_errors=True
    )


Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
"""Something the agent says."""

Description = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)
]
"""Something the model reads."""

Language = Annotated[
    str, StringConstraints(pattern=r"^(multi|[a-z]{2,3}(-[A-Za-z0-9]{2,8})*)$", max_length=35)
]
"""A language tag (BCP 47) such as ``en`` or ``pt-BR``; ``multi`` where a vendor has it."""


def as_list(value: Any) -> Any:
    """Let a list of one be written without the list."""
    return [value] if isinstance(value, (str, Mapping, BaseModel)) else value
