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

_Word = Mapping[str, Any]


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
        self._fillers: dict[int, list[str]] = {}
        """Of each reply, the fillers that began to play."""

    def caller_says(self, at_ms: int, text: str) -> None:
        self._line(at_ms, "caller", Text(text, style="cyan"))

    def event(self, type_: str, at_ms: int, data: Mapping[str, Any]) -> None:
        """Show an event of the server's journal."""
        if type_ == "caller_turn":
            self._line(at_ms, "", Text(f"understood: {data['text']}", style="dim cyan"))
        elif type_ == "agent_saying":
            self._line(at_ms, "agent", Text(data["text"], style="green"))
        elif type_ == "agent_filler":
            self._fillers.setdefault(data["reply"], []).append(data["text"])
            self._line(at_ms, "agent", Text(f"{data['text']} (filler)", style="dim green"))
        elif type_ == "agent_turn" and data["ended"] == "interrupted":
            self._interrupted(at_ms, data)
        elif type_ == "vendor_failed":
            self._line(at_ms, "", Text(f"{data['kind']} failed: {data['code']}", style="red"))
        elif type_ == "call_ended":
            self._line(at_ms, "", Text(f"call ended: {data['reason']}", style="dim"))

    def _interrupted(self, at_ms: int, data: Mapping[str, Any]) -> None:
        words = _without(data["words"], self._fillers.get(data["reply"], ()))
        heard = [word["text"] for word in words if word["heard"] is True]
        cut = [word["text"] for word in words if word["heard"] == "cut"]
        unheard = [word["text"] for word in words if word["heard"] is False]
        if cut and data["heard_text"].endswith(cut[-1]):  # its greater part was heard
            heard += cut
        else:
            unheard = cut + unheard
        told = Text("interrupted; heard: ", style="dim green")
        self._line(at_ms, "", told.append(" ".join(heard) or "(nothing)", style="green"))
        if unheard:
            told = Text("not heard: ", style="dim green")
            self._line(at_ms, "", told.append(" ".join(unheard), style="dim"))

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
        line = Text.assemble((f"{stamp}  ", "dim"), f"{who:<7}", what)
        self._console.print(line, soft_wrap=True)


def _without(words: Sequence[_Word], fillers: Sequence[str]) -> list[_Word]:
    """The answer's own words: of each filler, which may have been cut off, as many are left out
    as are there in a row."""
    own = list(words)
    for filler in fillers:
        said = filler.split()
        rows = [_alike([word["text"] for word in own[at:]], said) for at in range(len(own))]
        longest = max(rows, default=0)
        if longest:
            at = rows.index(longest)
            del own[at : at + longest]
    return own


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words they begin with alike."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
