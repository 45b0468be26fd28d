"""The installation says how far it is, on a terminal and off one."""

import io
import sys
from types import ModuleType

import pytest

from tests.support.scripts import load

LINES = (
    "Obtaining file:///here",
    "  Building editable (pyproject.toml): started",
    "Collecting numpy>=1.2 (from voicecore==0.1.0)",
    "Collecting numpy (from scipy)",
    "Collecting msgspec",
    "  Downloading msgspec-0.21-cp311-manylinux.whl (220 kB)",
    "Installing collected packages: numpy, msgspec, voicecore",
)


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(scope="module")
def install() -> ModuleType:
    return load("install")


def test_it_counts_packages(install: ModuleType) -> None:
    progress = install.Progress()
    said = []
    for line in LINES:
        progress.read(line)
        said.append(progress.doing)
    assert said == [
        "starting pip",
        "building",
        "packages found: 1",
        "packages found: 2",
        "packages found: 3",
        "packages found: 3, downloading msgspec",
        "unpacking 3 packages",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_shown(install: ModuleType, terminal: bool) -> None:
    screen, now = Screen(terminal), 0.0
    printer = install.Printer(screen, "step 1 of 2", lambda: now)
    for now in (0.0, 1.0, 4.0, 6.0):
        printer.show(f"at {now:g}")
    printer.show("done", last=True)
    shown = screen.getvalue()
    if terminal:
        assert shown.count("\r\033[Kstep 1 of 2: at ") == 4
        assert shown.count("\n") == 1
    else:
        assert shown.splitlines() == [
            "step 1 of 2: at 0 (0 s)",
            "step 1 of 2: at 6 (6 s)",
            "step 1 of 2: done (6 s)",
        ]
    assert shown.endswith("done (6 s)\n")


@pytest.mark.parametrize("status", [0, 3])
def test_what_pip_wrote_is_shown_if_it_fails(
    install: ModuleType, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"print('Collecting x'); print('ERROR: no x'); raise SystemExit({status})"
    screen = Screen(False)
    printer = install.Printer(screen, "step", lambda: 0.0)
    assert install.run([sys.executable, "-c", code], printer) == status
    assert ("ERROR: no x" in capsys.readouterr().err) == (status != 0)
    assert ("failed" if status else "done") in screen.getvalue()
