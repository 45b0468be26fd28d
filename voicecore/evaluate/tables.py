"""An evaluation for the terminal."""

from rich.table import Table

from voicecore.evaluate.results import Figure, Results


def figures_table(results: Results) -> Table:
    """Every figure with its interval, how many events it rests on, and its bar."""
    table = Table(title=f"{results.agent}: {results.suite}", title_justify="left")
    for column, justify in (("figure", "left"), ("value", "right"), ("95 %", "right"),
                            ("n", "right"), ("bar", "right"), ("", "left")):  # fmt: skip
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for figure in results.figures:
        verdict = {None: "", True: "reached", False: "MISSED"}[figure.met]
        table.add_row(
            figure.title, _value(figure, figure.value), _interval(figure), str(figure.n),
            _bar(figure), verdict,
        )  # fmt: skip
    return table


def summary(results: Results) -> str:
    """How the scenes went, in a line."""
    right = sum(scene.passed is True for scene in results.scenes)
    wrong = sum(scene.passed is False for scene in results.scenes)
    void = sum(scene.void is not None for scene in results.scenes)
    return f"{right} scenes without a fault, {wrong} with, {void} void"


def _value(figure: Figure, value: float | None) -> str:
    if value is None:
        return "-"
    if figure.unit in ("ms", "count"):
        return f"{value:.0f} ms" if figure.unit == "ms" else f"{value:.0f}"
    return f"{value:.3f}"


def _interval(figure: Figure) -> str:
    if figure.ci95 is None:
        return ""
    low, high = figure.ci95
    digits = 0 if figure.unit == "ms" else 2
    return f"{low:.{digits}f} - {high:.{digits}f}"


def _bar(figure: Figure) -> str:
    if figure.bar is None:
        return ""
    if figure.bar.at_least is not None:
        return f">= {_value(figure, figure.bar.at_least)}"
    return f"<= {_value(figure, figure.bar.at_most)}"
