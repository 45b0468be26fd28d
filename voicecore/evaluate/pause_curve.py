"""The pause sweep as a picture: cutting off against waiting."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from voicecore.evaluate.pause_figures import Sweeps
from voicecore.evaluate.pause_sweep import DELAYS_MS, SHARES, Curve, frontier
from voicecore.evaluate.pictures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PUBLISHED: dict[str, Sequence[tuple[int, float]]] = {
    "silence alone": ((300, 55.6), (600, 21.7), (1000, 10), (1600, 5)),
    "SmartTurn v3.2": ((300, 35.2), (600, 14.8), (739, 10), (1051, 5)),
    "Deepgram Flux": ((300, 12.9), (548, 10), (600, 9.9), (1151, 5)),
    "LiveKit v1": ((295, 10), (543, 5), (600, 4.5)),
}
"""Operating points in English, from the README of github.com/livekit/eot-bench (June 2026):
(mean delay in ms, false cut-offs in per cent)."""
_MARKS = {"silence alone": "s", "SmartTurn v3.2": "^", "Deepgram Flux": "D", "LiveKit v1": "o"}
_LONGEST_MS, _MOST_PERCENT = 1800, 62


def draw_curves(sweeps: Sweeps, png: Path) -> None:
    """Ours and silence alone from the same recordings, with others' published points.

    :raises PicturesUnavailable: matplotlib is not installed.
    :raises OSError: the picture cannot be written."""
    with drawing() as (new_figure, save):
        figure = new_figure(16, 8)
        views = (
            ("The policy's wait alone, as eot-bench counts", sweeps.policy, sweeps.policy_silence),
            ("All of it: with the VAD's and the text's time", sweeps.heard, sweeps.heard_silence),
        )
        for column, (title, ours, silence) in enumerate(views):
            axes = figure.add_axes((0.05 + 0.49 * column, 0.1, 0.44, 0.76))
            _frame(axes, title)
            _published(axes)
            _line(axes, silence, "silence only, same machine and callers", "#5F6B76", "--")
            _line(axes, ours, "the agent's policy", "#0072B2", "-")
            own = sweeps.configured if column else sweeps.configured_policy
            if own is not None:
                axes.plot(
                    [own.delay_ms],
                    [own.cut_off_share * 100],
                    "*",
                    color="#C4320A",
                    markersize=16,
                    label="the agent as configured",
                    zorder=6,
                )
            axes.legend(loc="upper right", frameon=False, fontsize=9.5)
        figure.text(0.05, 0.945, "False cut-offs in pauses against the delay at the end of turns",
                    fontsize=15, weight="bold", va="center")  # fmt: skip
        figure.text(
            0.05,
            0.905,
            "Lower left is better. Hollow marks: published by eot-bench for real callers, who are "
            "not these; they show the order of size, not a ranking.",
            fontsize=10,
            color="#5F6B76",
            va="center",
        )
        save(figure, png)


def _frame(axes: "Axes", title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, weight="bold")
    axes.set_xlim(0, _LONGEST_MS)
    axes.set_ylim(0, _MOST_PERCENT)
    axes.set_xlabel("mean delay, ms")
    axes.set_ylabel("pauses cut off, %")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for delay_ms in DELAYS_MS:
        axes.axvline(delay_ms, color="#D8DEE4", linewidth=1, zorder=0)
    for share in SHARES:
        axes.axhline(share * 100, color="#D8DEE4", linewidth=1, zorder=0)


def _published(axes: "Axes") -> None:
    for name, points in PUBLISHED.items():
        axes.plot(
            [delay_ms for delay_ms, _ in points],
            [percent for _, percent in points],
            marker=_MARKS[name],
            markersize=6,
            markerfacecolor="white",
            markeredgecolor="#B34700",
            color="#B34700",
            linewidth=0.7,
            alpha=0.75,
            label=f"published: {name}",
        )


def _line(axes: "Axes", curve: Curve, label: str, colour: str, style: str) -> None:
    points = frontier(curve)
    axes.plot(
        [point.delay_ms for point in points],
        [point.cut_off_share * 100 for point in points],
        color=colour,
        linestyle=style,
        linewidth=2.4,
        drawstyle="steps-post",
        label=label,
        zorder=5,
    )
