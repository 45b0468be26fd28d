"""HTTP tools that answer what they answered in the recorded call, and call nobody."""

import asyncio

from voicecore.replay.facts import Facts, ToolAnswered, ToolCalled
from voicecore.replay.vendors import CallClock
from voicecore.replay.watch import Watch
from voicecore.tools.requests import HttpCall, ToolResult, failed

UNKNOWN_TOOL = '{"error": "not_recorded", "detail": "the recorded call has no such result"}'


class RecordedTools:
    """In place of ``HttpToolRunner``: the call's own results, after their own delays. No request
    is ever made."""

    def __init__(self, facts: Facts, watch: Watch, time: CallClock) -> None:
        self._watch = watch
        self._time = time
        called = {what.call_id: (at_ms, what) for at_ms, what in facts.of(ToolCalled)}
        self._results: dict[tuple[str, str], list[tuple[int, ToolAnswered]]] = {}
        for at_ms, answered in facts.of(ToolAnswered):
            if answered.call_id in called:
                called_ms, call = called[answered.call_id]
                delay_ms = max(at_ms - called_ms, 0)
                key = (call.name, call.arguments)
                self._results.setdefault(key, []).append((delay_ms, answered))

    async def run(self, call: HttpCall) -> ToolResult:
        """The recorded result of the same call; of several the next, and the last again."""
        key = self._watch.tool_calls.get(call.call_id, (call.name, ""))
        found = self._results.get(key)
        if not found:
            self._watch.assume(self._time.now_ms(), "tool", call.name)
            return ToolResult(call.call_id, call.name, UNKNOWN_TOOL, "not_recorded")
        delay_ms, answered = found.pop(0) if len(found) > 1 else found[0]
        await asyncio.sleep(min(delay_ms, call.timeout_ms) / 1000)
        if delay_ms > call.timeout_ms:
            return failed(call.call_id, call.name, "timeout", f"no answer in {call.timeout_ms} ms")
        return ToolResult(call.call_id, call.name, answered.result, answered.error)
