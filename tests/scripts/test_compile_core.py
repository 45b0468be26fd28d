"""What is compiled runs the same program."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import voicecore.session
from tests.sim.plan import call_seed
from tests.sim.run import run_call
from tests.sim.test_simulation import traces
from tests.support.scripts import SCRIPTS, load
from voicecore.tools.guard import ToolGuard

ROOT = Path(__file__).parents[2]
SCRIPT = SCRIPTS / "compile_core.py"
SEED, CALLS, BROKEN_CALLS = 11, 200, 30


@pytest.fixture(scope="module")
def compile_core() -> ModuleType:
    return load("compile_core")


def run(*arguments: str, cwd: Path) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def verdicts(calls: int) -> list[str]:
    return [repr(run_call(call_seed(SEED, number))) for number in range(calls)]


def _bug(*args: Any) -> None:
    raise ZeroDivisionError("a bug")


def everything() -> dict[str, Any]:
    """What calls come to here: their traces, the judgements of calls in which a bug breaks out or
    which are abandoned, and those of sound calls behind them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ToolGuard, "turn_started", _bug)
        broken = verdicts(BROKEN_CALLS)
    return {
        "traces": traces(SEED, CALLS).split(),
        "broken": broken,
        "sound": verdicts(BROKEN_CALLS),
        "error": repr(sys.exc_info()[1]),
    }


@pytest.mark.e2e
def test_compiled_calls_come_to_the_same(tmp_path: Path, compile_core: ModuleType) -> None:
    if what := compile_core.missing():
        pytest.skip(f"{what} is not installed")
    out = tmp_path / "out"
    assert "compiling" in run(str(SCRIPT), str(out), cwd=ROOT)
    assert run(str(SCRIPT), str(out), cwd=ROOT) == "", "nothing has changed"
    code = "from tests.scripts.test_compile_core import tell; tell()"
    there = json.loads(run("-c", code, cwd=out))
    assert Path(there.pop("where")) == next(out.glob("voicecore/session.*.so"))
    here = json.loads(json.dumps(everything()))
    assert any("ZeroDivisionError" in told for told in here["broken"])
    assert here["error"] == "None"
    assert there == here


def tell() -> None:
    """``everything``, from another process."""
    sys.stdout.write(json.dumps({"where": voicecore.session.__file__, **everything()}))


class TestChoice:
    def test_every_name_is_there(self, compile_core: ModuleType) -> None:
        assert [name for name in compile_core.COMPILED if not list(ROOT.glob(name))] == []

    def test_what_a_frame_passes_through_is_compiled(self, compile_core: ModuleType) -> None:
        names = set(compile_core.modules(ROOT))
        wanted = "media/inbound.py media/playout.py media/transport.py media/vad/edges.py "
        wanted += "voicecore/hearing.py voicecore/session.py voicecore/turns/listening.py"
        assert set(wanted.split()) - names == set(), "see compile_core.would_differ"

    @pytest.mark.parametrize(
        ("source", "differs"),
        [
            ("class A(msgspec.Struct): ...", True),
            ("if True:\n    class A(Struct): ...", True),
            ("class A(B, frozen=True): ...", True),
            ("async def a():\n    try: b()\n    except C: await d()", True),
            ("async def a():\n    try: b()\n    finally:\n        if c: await d()", True),
            ("async def a():\n    async with b(): c()", True),
            ("class A(B): ...", False),
            ("async def a():\n    try: await b()\n    except C: d()\n    await e()", False),
        ],
    )
    def test_what_mypyc_would_change_is_left(
        self, compile_core: ModuleType, source: str, differs: bool
    ) -> None:
        assert compile_core.would_differ(source) is differs


class TestCopy:
    @pytest.fixture(autouse=True)
    def _no_compiler(self, compile_core: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compile_core, "missing", lambda: "a C compiler (cc)")

    def test_without_a_compiler_it_is_plain_and_says_so_each_time(
        self, tmp_path: Path, compile_core: ModuleType, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):
            compile_core.main([str(tmp_path / "out")])
            assert capsys.readouterr().out == (
                "nothing is compiled, which is slower: a C compiler (cc) is not installed\n"
            )
        assert (tmp_path / "out/voicecore/session.py").is_file()
        assert (tmp_path / "out/tests/sim/seeds.txt").is_file()
        assert list((tmp_path / "out").rglob("*.so")) == []

    def test_nothing_else_is_overwritten(self, tmp_path: Path, compile_core: ModuleType) -> None:
        (tmp_path / "letters.txt").write_text("mine")
        with pytest.raises(SystemExit, match="was not made by this script"):
            compile_core.main([str(tmp_path)])
        assert (tmp_path / "letters.txt").read_text() == "mine"

    def test_nor_are_the_sources(
        self, tmp_path: Path, compile_core: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compile_core, "ROOT", tmp_path / "root")
        (tmp_path / "root").mkdir()
        (tmp_path / "root/pyproject.toml").write_text("mine")
        (tmp_path / compile_core.MADE_OF).write_text("as if")
        with pytest.raises(SystemExit, match="was not made by this script"):
            compile_core.main([str(tmp_path)])
        assert (tmp_path / "root/pyproject.toml").read_text() == "mine"

    def test_a_new_seed_makes_it_anew(
        self, tmp_path: Path, compile_core: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compile_core, "ROOT", tmp_path)
        monkeypatch.setattr(compile_core, "PACKAGES", ("tests",))
        (tmp_path / "pyproject.toml").write_text("")
        (tmp_path / "tests").mkdir()
        states = [compile_core.state()]
        (tmp_path / "tests/seeds.txt").write_text("1")
        states.append(compile_core.state())
        (tmp_path / "tests/seeds.txt").write_text("2")
        states.append(compile_core.state())
        (tmp_path / "tests/seeds.txt").unlink()
        assert len(set(states)) == 3
        assert compile_core.state() == states[0]
