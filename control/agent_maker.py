"""From an agent's configuration in the database to somebody who answers."""

import asyncio
from collections.abc import Mapping
from typing import Any

from control.settings import Settings, read_agent_secrets
from control.tenant_agents import tenant_agent
from voicecore.answering import AnsweringAgent
from voicecore.prepare import prepare
from voicecore.speech_cache import SpeechCache


class AgentMaker:
    """Makes agents; nothing is loaded or connected yet. All of them share a cache of speech."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secrets = read_agent_secrets(settings)
        self._cache = SpeechCache(settings.speech_cache_mb * 2**20)

    async def make(self, config: Mapping[str, Any]) -> AnsweringAgent:
        """The agent of a version.

        :raises control.tenant_agents.TenantAgentError: it is not valid, or not any more.
        :raises voicecore.adapters.registry.VendorConfigError: a vendor does not like it."""
        agent = await asyncio.to_thread(tenant_agent, config, self._settings, self._secrets)
        return prepare(agent, self._secrets, self._cache)
