"""The demonstration on the terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from voicecore.turns.latency import STAGES

_HEADINGS = {
    "turn_decided": "turn decided",
    "stt_final": "STT final",
    "llm_first_token": "LLM first token",
    "first_sentence": "first sentence",
    "tts_first_audio": "TTS first audio",
    "filler": "filler",
    "first_byte": "first byte to carrier",
}


@contextmanager
def loading(console: Console, first: str) -> Iterator[Callable[[str], None]]:
    """Shows the step that is under way: in one line that changes on a terminal, elsewhere in a
    line for each step."""
    if console.is_terminal:
        with console.status(first) as status:
            yield status.update
        return

    def tell(step: str) -> None:
        console.print(f"{step} ...", markup=False)
        console.file.flush()

    tell(first)
    yield tell


class Show:
    """Prints who says what, when."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def caller_says(self, at_ms: int, text: str) -> None:
        self._line(at_ms, "caller", Text(text, style="cyan"))

    def event(self, type_: str, at_ms: int, data: Mapping[str, Any]) -> None:
        """Show an event of the server's journal."""
        if type_ == "caller_turn":
            self._line(at_ms, "", Text(f"understood: {data['text']}", style="dim cyan"))
        elif type_ == "agent_saying":
            self._line(at_ms, "agent", Text(data["text"], style="green"))
        elif type_ == "agent_turn" and data["ended"] == "interrupted":
            heard = Text("interrupted; heard: ", style="dim green")
            heard.append(data["heard_text"] or "(nothing)", style="green")
            unheard = [word["text"] for word in data["words"] if word["heard"] is False]
            if unheard:
                heard.append(" | not heard: ", style="dim green")
                heard.append(" ".join(unheard), style="dim")
            self._line(at_ms, "", heard)
        elif type_ == "vendor_failed":
            self._line(at_ms, "", Text(f"{data['kind']} failed: {data['code']}", style="red"))
        elif type_ == "call_ended":
            self._line(at_ms, "", Text(f"call ended: {data['reason']}", style="dim"))

    def latencies(self, turns: Sequence[Mapping[str, int]]) -> None:
        """Milliseconds from the end of the caller's speech to each stage."""
        table = Table(title="ms from the end of the caller's speech", title_justify="left")
        table.add_column("reply", justify="right")
        fillers = any("filler" in turn for turn in turns)
        stages = [stage for stage in STAGES[1:] if stage != "filler" or fillers]
        for stage in stages:
            table.add_column(_HEADINGS[stage], justify="right")
        for turn in turns:
            cells = [str(turn[stage]) if stage in turn else "-" for stage in stages]
            table.add_row(str(turn["reply"]), *cells)
        self._console.print(table)

    def _line(self, at_ms: int, who: str, what: Text) -> None:
        stamp = f"{at_ms // 60000:02}:{at_ms % 60000 / 1000:04.1f}"
        self._console.print(Text.assemble((f"{stamp}  ", "dim"), f"{who:<7}", what))
