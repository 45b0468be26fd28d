"""Compile most of what runs for every frame and every step of a call, to simulate more calls.

    python scripts/compile_core.py OUT

OUT becomes a copy of the packages in which mypyc (https://mypyc.readthedocs.io) has made
extension modules of those named below: Python that is started in OUT runs the same program,
faster. The sources stay as they are, and the copy is made anew when one of them has changed.

A module is left as it is where mypyc would make another program of it without a word: it drops a
class's keywords (``frozen=True``), and after an ``await`` in an ``except`` or ``finally`` the error
stays the thread's current one, so that later ones are taken for it.
"""

import argparse
import ast
import contextlib
import hashlib
import io
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = "media", "voicecore", "tests"
COMPILED = (
    "media/audio/*.py",
    "media/inbound.py",
    "media/phone/*_side.py",
    "media/playout.py",
    "media/reply_audio.py",
    "media/transport.py",
    "media/vad/*.py",
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
MADE_OF = ".made-of"
"""The file in OUT that says of which sources, and for which Python, it was made."""


def modules(root: Path) -> Iterator[str]:
    """The names of the files to compile, relative to ``root``."""
    found = {path for pattern in COMPILED for path in root.glob(pattern)}
    for path in sorted(found):
        if path.name != "__init__.py" and not would_differ(path.read_text("utf-8")):
            yield path.relative_to(root).as_posix()


def would_differ(source: str) -> bool:
    """Whether mypyc would compile it to another program."""
    return any(map(_differs, ast.walk(ast.parse(source))))


def _differs(node: ast.AST) -> bool:
    if isinstance(node, ast.ClassDef):
        bases = (ast.unparse(base).partition("[")[0] for base in node.bases)
        return bool(node.keywords) or any(base.endswith("Struct") for base in bases)
    if isinstance(node, ast.Try | ast.TryStar):
        return any(map(_awaits, (*node.handlers, *node.finalbody)))
    return isinstance(node, ast.AsyncWith | ast.AsyncFor)


def _awaits(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Await) for inner in ast.walk(node))


def missing() -> str:
    """What there is to install before anything can be compiled here."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python's headers (python3-dev)"
    return ""


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT)


def state() -> str:
    """Of this Python, of this file and of the sources."""
    tools = sys.version + version("mypy")
    digest = hashlib.sha256(tools.encode() + Path(__file__).read_bytes())
    for path in (Path("pyproject.toml"), *sources()):
        digest.update(b"%b %b " % (str(path).encode(), (ROOT / path).read_bytes()))
    return digest.hexdigest()


def copy(out: Path) -> None:
    """:raises SystemExit: OUT is something else, which would be lost."""
    foreign = out.exists() and any(out.iterdir()) and not (out / MADE_OF).is_file()
    if foreign or ROOT.is_relative_to(out):
        raise SystemExit(f"{out} was not made by this script; name another directory")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MADE_OF).write_text("not whole")
    for path in (Path("pyproject.toml"), *sources()):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, out / path)


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


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="the directory to make")
    out = parser.parse_args(arguments).out.resolve()
    before = state()
    if (out / MADE_OF).is_file() and (out / MADE_OF).read_text() == before:
        return
    copy(out)
    if what := missing():
        sys.stdout.write(f"nothing is compiled, which is slower: {what} is not installed\n")
    else:
        build(out)
        (out / MADE_OF).write_text(before)


if __name__ == "__main__":
    main(sys.argv[1:])
