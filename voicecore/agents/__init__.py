"""Agents, and the YAML files that describe them (``docs/agent-file.md``).

agent = load_agent("agent.yaml", secrets=secrets)     # AgentFileError lists every problem
stt = make_stt(agent.vendor("stt", secrets)[0], secrets)
agent.turn_taking.vad.stop_ms, agent.limits.max_duration_s, agent.phrases.goodbye
"""

from voicecore.agents.load import (
    AgentFileError,
    agent_of,
    check_secrets,
    check_vendors,
    load_agent,
    parse_agent,
)
from voicecore.agents.model import Agent
from voicecore.agents.secrets import SecretText, UnresolvedSecretError

__all__ = [
    "Agent",
    "AgentFileError",
    "SecretText",
    "UnresolvedSecretError",
    "agent_of",
    "check_secrets",
    "check_vendors",
    "load_agent",
    "parse_agent",
]
