"""Shapes of a workspace's agents, as they come and go."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from control.agent_pool import State
from control.api.agent_configs import EXAMPLE, AgentName, Config, PartOfConfig
from control.api.client.phone_numbers import Number
from control.api.shapes import Body, Shape, example

Status = Literal["draft", "live", "paused"]
VoiceProvider = Annotated[
    str, Field(min_length=1, max_length=60, description="The vendor of the voice.")
]
VoiceConfig = Annotated[
    dict[str, Any], Field(description="Of the configuration's `tts`: `voice`, `model`, `settings`.")
]


class NewAgent(Body):
    model_config = example(name="Acme Dental", config=EXAMPLE)

    name: AgentName
    template_id: UUID | None = None
    phone_number_id: UUID | None = Field(None, description="A number that it answers.")
    config: PartOfConfig | None = Field(
        {},
        description="What an agent file holds, as JSON. With a template it is laid over the "
        "template's: objects field by field, lists and everything else as a whole.",
    )
    voice_provider: VoiceProvider | None = None
    voice_config: VoiceConfig | None = Field({})


class AgentChange(Body):
    model_config = example(config=EXAMPLE)

    name: AgentName | None = None
    config: Config | None = Field(None, description="The whole configuration.")
    voice_provider: VoiceProvider | None = None
    voice_config: VoiceConfig | None = Field({})


class ListedAgent(Shape):
    id: UUID
    name: str
    status: Status
    phone_number: str | None
    template_name: str | None
    created_at: datetime


class VoiceAgent(Shape):
    id: UUID
    name: str
    status: Status
    version: int
    template_id: UUID | None
    template_name: str | None
    voice_provider: str | None
    config: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Stats(Shape):
    total_calls: int
    avg_duration: float | None = Field(description="Seconds; null before the first call.")


class Agents(Shape):
    agents: list[ListedAgent]


class OneAgent(Shape):
    agent: VoiceAgent


class Readiness(Shape):
    state: State = Field(description="On this server. `idle`: its next call has it loaded.")
    problem: str | None = Field(description="Why it could not be loaded the last time.")


class AgentDetail(OneAgent):
    phone_number: Number | None
    stats: Stats
    readiness: Readiness


class Standing(Shape):
    id: UUID
    status: Status


class OneStanding(Shape):
    agent: Standing
