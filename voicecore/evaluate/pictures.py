"""Pictures of calls: both sides' sound on one time axis, what the agent was doing, and what it
decided. Needs matplotlib (the extra ``evaluate``); draws without a screen, and the same picture
for the same files.
"""

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import soundfile

from voicecore.evaluate.picture_labels import Shelf, cut_to, wrapped
from voicecore.evaluate.picture_view import (
    CallView,
    Spoken,
    State,
    plain_text,
    view_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOW_TO_INSTALL = "pictures need matplotlib: pip install 'voicecore[evaluate]'"
WIDTH_PX, HEIGHT_PX = 1600, 700
STRIP_S = 26.0
"""A longer call is drawn in several strips, one below the other."""
MOST_STRIPS = 8

# Okabe and Ito's colours, which colour-blind people tell apart.
_CALLER, _AGENT = "#0072B2", "#B34700"
_SPEECH = "#CFE6F5"
_INK, _SOFT, _LINE = "#1A1A1A", "#5F6B76", "#8A949E"
_GOOD, _BAD = "#00724F", "#C4320A"
_STATES = {
    State.LISTENING: ("#E4E8EC", _SOFT, ""),
    State.THINKING: ("#F0C94A", _INK, ""),
    State.SPEAKING: ("#3FA67F", "#FFFFFF", ""),
    State.PAUSED: ("#D9A3C4", _INK, "////"),
}
_DPI = 100
_CHAR_PX = 6.2
"""The mean width of a character of the labels' size."""


class JudgedPoint(Protocol):
    """A point of a call that was judged."""

    @property
    def at_ms(self) -> int: ...
    @property
    def what(self) -> str: ...
    @property
    def ok(self) -> bool: ...


class PicturesUnavailable(Exception):
    """matplotlib is not installed; the text says how to get it."""


class _Sound(msgspec.Struct):
    """Both sides as floats of -1 to 1, shape (n, 2)."""

    samples: npt.NDArray[np.float32]
    rate_hz: int

    @property
    def length_ms(self) -> int:
        return len(self.samples) * 1000 // self.rate_hz


def pictures_available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def check_pictures() -> None:
    """:raises PicturesUnavailable: matplotlib is not installed."""
    if not pictures_available():
        raise PicturesUnavailable(HOW_TO_INSTALL)


def draw_call(
    call_dir: Path,
    phone_wav: Path | None,
    png: Path,
    title: str,
    judged: Sequence[JudgedPoint] = (),
) -> None:
    """Draw a call from its ``events.jsonl`` and its sound: the phone's two-channel file, or the
    call's own ``recording.wav`` where there is none. What is missing is left out.

    :raises PicturesUnavailable: matplotlib is not installed.
    :raises OSError: the picture cannot be written."""
    check_pictures()
    sound = _read_sound(phone_wav, call_dir / "recording.wav")
    view = view_of(_read_events(call_dir / "events.jsonl"), audio_ms=sound.length_ms)
    with drawing() as (new_figure, save):
        strips = min(max(int(np.ceil(view.length_ms / 1000 / STRIP_S)), 1), MOST_STRIPS)
        strip_ms = max(view.length_ms / strips, 1000.0)
        height_px = HEIGHT_PX if strips == 1 else 90 + 430 * strips
        figure = new_figure(WIDTH_PX / _DPI, height_px / _DPI)
        top = 1 - 66 / height_px
        room = (top - 14 / height_px) / strips
        _heading(figure, plain_text(title, 150), 24 / height_px, height_px)
        for number in range(strips):
            rect = (0.012, top - (number + 1) * room, 0.976, room - 26 / height_px)
            span_ms = (number * strip_ms, (number + 1) * strip_ms)
            axes = figure.add_axes(rect)
            _Strip(axes, span_ms, rect[3] * height_px).draw(view, sound, judged)
        save(figure, png)


@contextlib.contextmanager
def drawing() -> Iterator[tuple[Any, Any]]:
    """``new_figure(width_in, height_in)`` and ``save(figure, png)``, under settings of our own:
    no screen, no fonts but matplotlib's, no formulas in texts.

    :raises PicturesUnavailable: matplotlib is not installed."""
    check_pictures()
    import warnings

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.parse_math": False,
        "hatch.linewidth": 0.6,
        "hatch.color": "#8C4B76",
    }

    def new_figure(width_in: float, height_in: float) -> Figure:
        figure = Figure(figsize=(width_in, height_in), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        return figure

    def save(figure: Figure, png: Path) -> None:
        png.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})

    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield new_figure, save


class _Strip:
    """One stretch of a call. Vertical places are in pixels from the top of the strip."""

    def __init__(self, axes: "Axes", span_ms: tuple[float, float], height_px: float) -> None:
        self._axes = axes
        self._from_ms, self._to_ms = span_ms
        self._ms_px = (self._to_ms - self._from_ms) / (WIDTH_PX * 0.976)
        axes.set_xlim(self._from_ms, self._to_ms)
        axes.set_ylim(height_px, 0)
        axes.axis("off")
        labels_px, texts_px, band_px = 58, 42, 26
        rest = height_px - 22 - labels_px - 2 * texts_px - band_px - 30
        half = max(rest / 4, 20)
        self._labels_px = 4.0
        self._caller_text_px = labels_px + 2
        self._caller_px = self._caller_text_px + texts_px + half
        self._band = (self._caller_px + half + 3, band_px)
        self._agent_px = self._band[0] + band_px + 3 + half
        self._agent_text_px = self._agent_px + half + 3
        self._axis_px = height_px - 16
        self._half_px = half

    def draw(self, view: CallView, sound: _Sound, judged: Sequence[JudgedPoint]) -> None:
        for span in view.caller_spans:
            self._box(span.from_ms, span.to_ms, self._caller_px, self._half_px, _SPEECH)
        self._wave(sound, 0, self._caller_px, _CALLER)
        self._wave(sound, 1, self._agent_px, _AGENT)
        self._states(view)
        self._texts(view.caller_texts, self._caller_text_px, _CALLER)
        self._texts(view.agent_texts, self._agent_text_px, _AGENT)
        self._decisions(view)
        self._judged(judged)
        self._time()

    def _box(self, from_ms: float, to_ms: float, middle: float, half: float, colour: str) -> None:
        if to_ms > self._from_ms and from_ms < self._to_ms:
            self._axes.fill_between(
                [max(from_ms, self._from_ms), min(to_ms, self._to_ms)],
                middle - half,
                middle + half,
                color=colour,
                linewidth=0,
            )

    def _wave(self, sound: _Sound, channel: int, middle: float, colour: str) -> None:
        self._axes.axhline(middle, color=colour, linewidth=0.5, alpha=0.5)
        at_ms, low, high = _envelope(sound, channel, self._from_ms, self._to_ms)
        if len(at_ms):
            scale = self._half_px * 0.96
            self._axes.fill_between(
                at_ms, middle - low * scale, middle - high * scale, color=colour, linewidth=0.4
            )

    def _states(self, view: CallView) -> None:
        top, height = self._band
        for span in view.states:
            from_ms, to_ms = max(span.from_ms, self._from_ms), min(span.to_ms, self._to_ms)
            if to_ms <= from_ms:
                continue
            fill, ink, hatch = _STATES[span.state]
            self._axes.fill_between(
                [from_ms, to_ms],
                top,
                top + height,
                facecolor=fill,
                edgecolor="white" if not hatch else "#8C4B76",
                hatch=hatch,
                linewidth=0.8,
            )
            if (to_ms - from_ms) / self._ms_px > len(span.state) * 6.4 + 6:
                box = {"facecolor": fill, "edgecolor": "none", "pad": 1.5} if hatch else None
                self._write(
                    (from_ms + to_ms) / 2,
                    top + height / 2,
                    span.state.value,
                    color=ink,
                    ha="center",
                    va="center",
                    bbox=box,
                )

    def _texts(self, texts: Sequence[Spoken], top: float, colour: str) -> None:
        here = [t for t in texts if t.to_ms > self._from_ms and t.from_ms < self._to_ms]
        for place, text in enumerate(here):
            from_ms = max(text.from_ms, self._from_ms)
            next_ms = here[place + 1].from_ms if place + 1 < len(here) else self._to_ms
            until_ms = min(max(text.to_ms, next_ms - 200), self._to_ms)
            room = max(int((until_ms - from_ms) / self._ms_px / _CHAR_PX), 4)
            lines = wrapped(f"“{text.text}”" if text.text else "", room, most=3)
            self._write(from_ms, top, "\n".join(lines), color=colour, va="top", linespacing=1.1)
            left = 3 - len(lines)
            if text.unheard and left > 0:
                unheard = "\n".join(wrapped(f"[unheard: {text.unheard}]", room, most=left))
                below = top + len(lines) * 15.5
                self._write(from_ms, below, unheard, color=_SOFT, va="top", style="italic",
                            linespacing=1.1)  # fmt: skip

    def _decisions(self, view: CallView) -> None:
        shelf = Shelf(levels=4, gap=8 * self._ms_px)
        for decision in view.decisions:
            if not self._from_ms <= decision.at_ms < self._to_ms:
                continue
            colour = _BAD if decision.weight else _INK
            label = cut_to(decision.label, 34)
            width_ms = (len(label) * _CHAR_PX + 10) * self._ms_px
            leftwards = decision.at_ms + width_ms > self._to_ms
            begin_ms = decision.at_ms - width_ms if leftwards else float(decision.at_ms)
            level = shelf.put(begin_ms, begin_ms + width_ms)
            y = self._labels_px + level * 14.5
            self._axes.plot(
                [decision.at_ms] * 2,
                [y, self._agent_px + self._half_px],
                color=colour,
                linewidth=1.1,
                linestyle="-" if decision.weight else (0, (4, 2)),
                alpha=0.85,
            )
            self._write(
                decision.at_ms + (-4 if leftwards else 4) * self._ms_px,
                y - 2,
                label,
                color=colour,
                va="top",
                ha="right" if leftwards else "left",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.9},
            )

    def _judged(self, judged: Sequence[JudgedPoint]) -> None:
        here = sorted(
            (point for point in judged if self._from_ms <= point.at_ms < self._to_ms),
            key=lambda point: point.at_ms,
        )
        for place, point in enumerate(here):
            colour, sign = (_GOOD, "✓") if point.ok else (_BAD, "✗")
            self._axes.axvline(point.at_ms, color=colour, linewidth=2.2, alpha=0.35)
            label = f" {sign} {plain_text(point.what, 24)} "
            width_ms = (len(label) * 7 + 12) * self._ms_px
            right = point.at_ms + width_ms > self._to_ms
            crowded = place + 1 < len(here) and here[place + 1].at_ms < point.at_ms + width_ms
            self._write(
                point.at_ms,
                self._axis_px - 9,
                f" {sign} " if crowded else label,
                color="white",
                weight="bold",
                ha="right" if right else "left",
                va="center",
                bbox={"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.18"},
            )

    def _time(self) -> None:
        axis = self._axis_px + 2
        seconds = (self._to_ms - self._from_ms) / 1000
        step_s = 1 if seconds <= 30 else 5 if seconds <= 150 else 60
        self._axes.plot([self._from_ms, self._to_ms], [axis, axis], color=_LINE, linewidth=0.8)
        first = int(np.ceil(self._from_ms / 1000 / step_s)) * step_s
        for second in range(first, int(self._to_ms / 1000) + 1, step_s):
            self._axes.plot([second * 1000] * 2, [axis, axis + 3], color=_LINE, linewidth=0.8)
            self._write(second * 1000, axis + 4, f"{second} s", color=_SOFT, va="top", ha="center",
                        fontsize=8)  # fmt: skip

    def _write(self, x: float, y: float, text: str, **how: Any) -> None:
        if text:
            how.setdefault("fontsize", 9)
            self._axes.text(x, y, text, clip_on=False, **how)


def _heading(figure: Any, title: str, title_y: float, height_px: float) -> None:
    figure.text(0.012, 1 - title_y, title, fontsize=13, weight="bold", color=_INK, va="center")
    x, y = 20.0, 1 - 48 / height_px
    key = [("▬", _CALLER, "caller", _CALLER), ("▬", _AGENT, "agent", _AGENT),
           ("■", _SPEECH, "speech, as the agent's VAD hears it", _SOFT)]  # fmt: skip
    key += [("■", fill, state.value, _SOFT) for state, (fill, _, _) in _STATES.items()]
    key += [("┆", _INK, "decision", _INK), ("│", _BAD, "decision that ends a reply", _BAD),
            ("✓", _GOOD, "as it should be", _GOOD), ("✗", _BAD, "not", _BAD)]  # fmt: skip
    for sign, sign_colour, text, colour in key:
        size = 14 if sign == "■" else 10
        figure.text(x / WIDTH_PX, y, sign, color=sign_colour, fontsize=size, va="center")
        figure.text((x + 18) / WIDTH_PX, y, text, color=colour, fontsize=9, va="center")
        x += 18 + len(text) * 6.6 + 22


def _envelope(
    sound: _Sound, channel: int, from_ms: float, to_ms: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Lowest and highest sample in each pixel's time, and that time."""
    first = int(from_ms * sound.rate_hz / 1000)
    last = min(int(to_ms * sound.rate_hz / 1000), len(sound.samples))
    part = sound.samples[first:last, channel]
    size = max(int((to_ms - from_ms) * sound.rate_hz / 1000 / WIDTH_PX), 1)
    count = len(part) // size
    blocks = part[: count * size].reshape(count, size)
    at_ms = from_ms + (np.arange(count) + 0.5) * size * 1000 / sound.rate_hz
    if not count:
        return at_ms, np.zeros(0, np.float32), np.zeros(0, np.float32)
    return at_ms, blocks.min(axis=1), blocks.max(axis=1)


def _read_sound(*paths: Path | None) -> _Sound:
    for path in paths:
        if path is None or not path.exists():
            continue
        try:
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            continue
        if samples.shape[1] == 1:
            samples = np.repeat(samples, 2, axis=1)
        peak = max(float(np.abs(samples).max(initial=0.0)), 0.25)
        return _Sound(samples[:, :2] / peak, int(rate_hz))
    return _Sound(np.zeros((0, 2), np.float32), 8000)


def _read_events(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(msgspec.DecodeError):
            event = msgspec.json.decode(line)
            if isinstance(event, dict):
                found.append(event)
    return found
