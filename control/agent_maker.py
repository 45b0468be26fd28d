"""From an agent's configuration in the database to somebody who answers."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from control.agent_pool import Make, Version
from control.db.database import PLATFORM, Database, Row
from control.settings import Settings
from control.tenant_agents import secret_names, tenant_agent
from control.vault import Vault
from voicecore.answering import AnsweringAgent
from voicecore.prepare import prepare
from voicecore.speech_cache import SpeechCache


class AgentMaker:
    """Makes agents; nothing is loaded or connected yet. All of them share a cache of speech.

    :param database: where the secrets of their workspaces are."""

    def __init__(self, settings: Settings, vault: Vault, database: Database) -> None:
        self._settings = settings
        self._vault = vault
        self._database = database
        self._cache = SpeechCache(settings.speech_cache_mb * 2**20)

    def plan(self, route: Row) -> tuple[Version, Make]:
        """What the pool needs to load the agent of a route, a row of ``control.db.routing``. When
        one of the secrets that it is made with is another, it is loaded anew."""
        own: Mapping[str, str] = route["secret_revisions"]
        revisions = {
            name: own.get(name) or self._vault.revision_of(name)
            for name in sorted(secret_names(route["config"] or {}))
        }
        secrets = ",".join(f"{name}={revision}" for name, revision in revisions.items() if revision)
        version = Version(route["agent_id"], route["version"], secrets)
        return version, partial(self.make, route)

    async def make(self, route: Row) -> AnsweringAgent:
        """The agent of a route.

        :raises control.tenant_agents.TenantAgentError: it is not valid, or not any more.
        :raises voicecore.adapters.registry.VendorConfigError: a vendor does not like it.
        :raises OSError: the database does not answer, or what else it raises then."""
        async with self._database.reading(PLATFORM) as db:
            lent = await self._vault.lend(db, route["workspace_id"])
        config: dict[str, Any] = route["config"]
        check = partial(tenant_agent, config, self._settings, lent.secrets, own=lent.own)
        return prepare(await asyncio.to_thread(check), lent.secrets, self._cache)
