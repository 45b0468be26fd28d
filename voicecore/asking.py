"""The language model of one call: one request at a time, whose events go to the inbox."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from voicecore.call_tasks import CallTasks
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import Llm, LlmEvent, LlmRequest
from voicecore.turns import inputs


class Asking:
    """``post`` appends to the call's inbox."""

    def __init__(self, llm: Llm, tasks: CallTasks, *, post: Callable[[inputs.Input], None]) -> None:
        self._llm = llm
        self._tasks = tasks
        self._post = post
        self._task: asyncio.Task[None] | None = None

    def ask(self, reply: int, request: LlmRequest) -> None:
        """Ask for a reply, instead of what was asked before. ``Thought`` and ``ThoughtFailed``
        come of it."""
        self.stop()
        self._task = self._tasks.spawn(self._think(reply, request))

    def stop(self) -> None:
        """Ask no longer. What has come already is in the inbox."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _think(self, reply: int, request: LlmRequest) -> None:
        try:
            stream = cast(AsyncGenerator[LlmEvent], self._llm.stream(request))
            async with aclosing(stream) as events:
                async for event in events:
                    self._post(inputs.Thought(reply, event))
        except VendorError as error:
            self._post(inputs.ThoughtFailed(reply, error))
