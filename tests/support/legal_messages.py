"""What OpenAI's protocol demands of a conversation."""

from collections.abc import Sequence

from voicecore.providers.llm import Message


def assert_legal(messages: Sequence[Message]) -> None:
    """Each assistant message with tool calls is directly followed by one tool message for each
    of them, ids are distinct, and no tool message stands anywhere else."""
    owed: list[str] = []
    for place, message in enumerate(messages):
        assert message.role != "system" or place == 0
        if owed:
            assert message.role == "tool", f"{message.role} where results are owed"
            assert message.tool_call_id == owed.pop(0)
            assert isinstance(message.text, str)
            continue
        assert message.role != "tool", "a result that nobody asked for"
        if message.role == "assistant":
            assert message.text or message.tool_calls, "an empty message"
        else:
            assert not message.tool_calls
        owed = [call.id for call in message.tool_calls]
        assert all(owed), "a call without an id"
        assert len(set(owed)) == len(owed), "two calls of one id"
    assert not owed, "calls without results"
