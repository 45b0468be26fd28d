"""The templates that ship: a file of this directory each, whose name is the template's slug.

``{{...}}`` in them are blanks, which whoever makes an agent of one fills in; a number such as
+15550100 is an example. An agent with either of them left does not go live.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from voicecore.yaml_lines import read_yaml
from voicecore.yaml_models import parse_model

DIRECTORY = Path(__file__).parent


class Template(BaseModel):
    """A template's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    industry: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    description: str = Field(max_length=1000)
    default_config: dict[str, Any]
    """An agent file's content."""


@lru_cache(1)
def shipped() -> Sequence[tuple[str, Template]]:
    """All of them, by slug.

    :raises YamlFileError: one is wrong."""
    paths = sorted(DIRECTORY.glob("*.yaml"))
    return tuple((path.stem, parse_model(read_yaml(path), Template)) for path in paths)
