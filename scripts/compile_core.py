"""Compile what runs for every frame and every step of a call, to simulate more calls.

    python scripts/compile_core.py OUT

OUT becomes a copy of the packages in which mypyc (https://mypyc.readthedocs.io) has made
extension modules of those named below: Python that is started in OUT runs the same program,
faster. The sources stay as they are, and no edited file is ever hidden behind an old extension.

A module that defines ``msgspec`` structs is left as it is, because mypyc drops a class's keywords
(``frozen=True``) without a word. Structs of what runs for every frame have files of their own.
"""

import ast
import contextlib
import io
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = "voicecore", "control", "media", "benchmarks", "tests", "examples"
COMPILED = (
    "media/audio/*.py",
    "media/inbound.py",
    "media/phone/json_side.py",
    "media/phone/*_side.py",
    "media/playout.py",
    "media/reply_audio.py",
    "media/transport.py",
    "media/vad/*.py",
    "voicecore/asking.py",
    "voicecore/call_record.py",
    "voicecore/hearing.py",
    "voicecore/saying.py",
    "voicecore/session.py",
    "voicecore/turns/*.py",
    "voicecore/vendor_log.py",
    "voicecore/voicing.py",
    "tests/sim/checks.py",
    "tests/sim/coverage.py",
    "tests/sim/ear.py",
    "tests/sim/opinions.py",
    "tests/sim/phone.py",
    "tests/sim/run.py",
    "tests/sim/timers.py",
    "tests/sim/trace.py",
    "tests/sim/vad.py",
    "tests/sim/verdict.py",
    "tests/sim/world.py",
)
"""What a frame passes through, the turns, and what the simulation does at every step."""
SPLIT_AT = "voicecore/turns/"
"""These and the others are two libraries, so that two cores compile at once."""


def modules(root: Path) -> Iterator[str]:
    """The names of the files to compile, relative to ``root``."""
    found = {path for pattern in COMPILED for path in root.glob(pattern)}
    for path in sorted(found):
        if path.name != "__init__.py" and not defines_structs(path.read_text("utf-8")):
            yield path.relative_to(root).as_posix()


def defines_structs(source: str) -> bool:
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return any(ast.unparse(base).endswith("Struct") for each in classes for base in each.bases)


def missing() -> str:
    """What there is to install before anything can be compiled here."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's headers (python3-dev)"
    return ""


def copy(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, out / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", out)


def build(out: Path) -> None:
    """:raises SystemExit: mypy or the compiler refuses something, and says what."""
    # Not needed by who only asks what is compiled.
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(out)
    names = list(modules(Path()))
    turns = [name for name in names if name.startswith(SPLIT_AT)]
    others = [name for name in names if not name.startswith(SPLIT_AT)]
    sys.stdout.write(f"compiling {len(names)} modules, which takes about a minute\n")
    sys.stdout.flush()
    options = ["--config-file=pyproject.toml", "--follow-imports=silent", "--no-error-summary"]
    said = io.StringIO()  # warnings too, of what costs a little speed
    try:
        with contextlib.redirect_stdout(said):
            extensions = mypycify(
                [*options, *names],
                opt_level="2",
                debug_level="0",
                separate=[(turns, "compiled_turns"), (others, "compiled_others")],
            )
    except SystemExit:
        sys.stderr.write(said.getvalue())
        raise
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.inplace = True
    command.parallel = os.cpu_count()
    command.ensure_finalized()
    command.run()
    shutil.rmtree("build")


def main(out: Path) -> None:
    copy(out)
    if what := missing():
        sys.stdout.write(f"nothing is compiled, which is slower: {what} is not installed\n")
    else:
        build(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
