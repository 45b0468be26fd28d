"""The worker of llama.cpp. Run as ``python -m voicecore.local.llama_worker``.

It serves the OpenAI protocol on a free loopback port, to whoever knows the key; nothing but
the address goes through the pipe.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from voicecore.local.child import EngineRefused, JobFailed, Result, serve
from voicecore.local.gguf import find_weights, has_chat_template

_LINE = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}\n"
    "{% elif message.role == 'user' %}CALLER: {{ message.content | replace('\n', ' ') }}\n"
    "{% else %}AGENT: {{ message.content | replace('\n', ' ') }}\n"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}AGENT:{% endif %}"
)


def transcript_template(caller: str, agent: str) -> str:
    """A chat template (Jinja) for base models, which know no roles: the conversation as the
    transcript of a call, one line each. The model goes on with the agent's line."""
    return _LINE.replace("CALLER", caller).replace("AGENT", agent)


class LlamaEngine:
    """Implements ``Engine``; its server takes requests over HTTP only."""

    parallel = 1

    def __init__(self, server: Any, info: dict[str, Any]) -> None:
        self.info = info
        self._server = server  # it serves until it is collected

    def run(self, args: dict[str, Any], body: bytes) -> Iterator[Result]:
        raise JobFailed("bad_request", "requests go to the server's address")


def _parameters(xllamacpp: Any, path: Path, settings: dict[str, Any]) -> Any:
    # Its threads spin while they wait for one another: where one of them loses its core to
    # another process, an answer takes thirty times as long. Half of the cores are safe.
    threads = int(settings["threads"]) or max(1, min(8, (os.cpu_count() or 1) // 2))
    slots = int(settings["slots"])
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_parallel = slots
    parameters.n_ctx = int(settings["context_tokens"]) * slots
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.n_threads_http = max(4, slots + 2)
    # Gemma attends to its last 512 tokens in most layers; only with all of them kept can a
    # longer prefix be taken up again by the next turn.
    parameters.swa_full = True
    parameters.cache_prompt = True
    parameters.cache_ram_mib = 0
    parameters.fit_params = False
    parameters.n_predict = int(settings["max_tokens"])
    parameters.sampling.temp = float(settings["temperature"])
    parameters.api_keys = [str(settings["api_key"])]
    parameters.cors_origins = ""
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.verbosity = 1
    if settings["transcript"] or not has_chat_template(path):
        caller, agent = settings["speakers"]
        parameters.chat_template = transcript_template(caller, agent)
        parameters.antiprompt = ["\n"]
    return parameters


def load(settings: dict[str, Any], progress: Callable[[str], None]) -> LlamaEngine:
    try:
        import xllamacpp
    except ImportError as error:
        detail = f"xllamacpp is not installed: {error}"
        raise EngineRefused("model_not_found", detail) from error
    path = find_weights(str(settings["model"]), str(settings["cache_dir"]), progress)
    progress(f"loading the language model {path.name}")
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, path, settings))
    except (RuntimeError, ValueError) as error:
        raise EngineRefused("model_not_found", f"cannot load {path}: {error}") from error
    return LlamaEngine(server, {"base_url": f"{server.listening_address}/v1"})


if __name__ == "__main__":
    serve(load)
