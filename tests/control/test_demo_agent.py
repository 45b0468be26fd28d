"""The agent of ``voicecore seed demo``."""

import yaml

from control.db.seeding import DEMO_AGENT
from control.settings import Settings, read_agent_secrets
from control.tenant_agents import tenant_agent


def test_it_may_answer() -> None:
    settings = Settings()
    config = yaml.safe_load(DEMO_AGENT.read_text())
    assert tenant_agent(config, settings, read_agent_secrets(settings)).greeting
