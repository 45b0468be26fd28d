"""What is compiled runs the same program."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.sim.test_simulation import traces

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "compile_core.py"
SEED, CALLS = 12, 200


@pytest.fixture(scope="module")
def compile_core() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compile_core_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments: str, cwd: Path) -> str:
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.mark.e2e
def test_compiled_calls_leave_the_same_traces(tmp_path: Path, compile_core: ModuleType) -> None:
    if what := compile_core.missing():
        pytest.skip(f"{what} is not installed")
    out = tmp_path / "out"
    assert "compiling" in run(str(SCRIPT), str(out), cwd=ROOT)
    code = (
        "import voicecore.session; print(voicecore.session.__file__);"
        "from tests.sim.test_simulation import traces; "
        f"print(traces({SEED}, {CALLS}))"
    )
    where, there = run("-c", code, cwd=out).splitlines()
    assert Path(where).parent == out / "voicecore"
    assert Path(where).suffix == ".so"
    assert there.split() == traces(SEED, CALLS).split()


class TestChoice:
    def test_every_name_is_there(self, compile_core: ModuleType) -> None:
        assert [name for name in compile_core.COMPILED if not list(ROOT.glob(name))] == []

    def test_what_a_frame_passes_through_is_compiled(self, compile_core: ModuleType) -> None:
        names = set(compile_core.modules(ROOT))
        wanted = "media/inbound.py media/playout.py media/transport.py media/vad/edges.py "
        wanted += "voicecore/hearing.py voicecore/session.py voicecore/turns/listening.py"
        assert set(wanted.split()) - names == set(), "a struct was put into one of them"

    def test_modules_with_structs_are_left(self, compile_core: ModuleType) -> None:
        assert compile_core.defines_structs("class A(msgspec.Struct, frozen=True): ...")
        assert compile_core.defines_structs("if True:\n    class A(Struct): ...")
        assert not compile_core.defines_structs("class A(B): ...")
        assert "voicecore/turns/inputs.py" not in set(compile_core.modules(ROOT))


def test_without_a_compiler_the_copy_is_plain(
    tmp_path: Path,
    compile_core: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(compile_core, "missing", lambda: "a C compiler (cc)")
    compile_core.main(tmp_path / "out")
    assert capsys.readouterr().out == (
        "nothing is compiled, which is slower: a C compiler (cc) is not installed\n"
    )
    assert (tmp_path / "out/voicecore/session.py").is_file()
    assert list((tmp_path / "out").rglob("*.so")) == []
