"""The conversation as the model sees it: only what was said, and only what was heard."""

from voicecore.providers.llm import Message, ToolCall

LONGEST_MESSAGES = 200
"""Older turns are left out of requests; the instructions always stay."""

STILL_RUNNING = '{"status": "still running"}'


def carriable(text: str) -> str:
    """Text with its lone surrogates replaced: JSON can hand them out, UTF-8 cannot carry them."""
    return text.encode("utf-8", "replace").decode()


class History:
    """Messages in order. While a reply is live its tool rounds are open; ``settle`` closes
    them with what was heard."""

    def __init__(self, instructions: str) -> None:
        self._system = Message("system", instructions)
        self._messages: list[Message] = []
        self._results: dict[str, str] = {}
        self._open: list[int] = []

    def caller_said(self, text: str) -> None:
        """The caller's turn. Directly after another one (the agent was not heard in between),
        it continues that one."""
        self._messages = self._with_caller(text)

    def preview(self, text: str) -> tuple[Message, ...]:
        """What ``messages`` would be if the caller had said ``text``."""
        return self._for_request(self._with_caller(text))

    def _with_caller(self, text: str) -> list[Message]:
        text = carriable(text)
        if self._messages and self._messages[-1].role == "user":
            joined = Message("user", f"{self._messages[-1].text} {text}")
            return [*self._messages[:-1], joined]
        return [*self._messages, Message("user", text)]

    def tools_called(self, text: str, calls: tuple[ToolCall, ...]) -> None:
        """The model asked for tools after saying ``text`` in the live reply."""
        self._open.append(len(self._messages))
        self._messages.append(Message("assistant", text, calls))

    def tool_answered(self, call_id: str, result: str) -> None:
        """A tool's result, whenever it comes."""
        self._results[call_id] = carriable(result)

    def settle(self, heard: str) -> None:
        """The live reply is over and ``heard`` is all that the caller heard of it. Nothing
        heard and no tool called leaves no trace."""
        for index in self._open:
            message = self._messages[index]
            before, own, _ = heard.partition(message.text) if message.text else ("", "", "")
            said = before + own  # a filler may come before it
            self._messages[index] = Message("assistant", said, message.tool_calls)
            heard = heard[len(said) :].lstrip()
        self._open.clear()
        if heard:
            self._messages.append(Message("assistant", heard))

    def last_said(self) -> str:
        """What the agent said last, as far as it was heard; empty before it has."""
        for index in range(len(self._messages) - 1, -1, -1):
            message = self._messages[index]
            if message.role == "assistant" and message.text and index not in self._open:
                return message.text
        return ""

    def messages(self) -> tuple[Message, ...]:
        """Everything for a request: each tool call is followed by its result, as the
        protocol wants, be it only that it is still running."""
        return self._for_request(self._messages)

    def _for_request(self, messages: list[Message]) -> tuple[Message, ...]:
        kept = messages[-LONGEST_MESSAGES:]
        while kept and kept[0].role != "user" and len(kept) < len(messages):
            kept = kept[1:]
        out = [self._system] if self._system.text else []
        for message in kept:
            out.append(message)
            for call in message.tool_calls:
                result = self._results.get(call.id, STILL_RUNNING)
                out.append(Message("tool", result, tool_call_id=call.id))
        return tuple(out)
