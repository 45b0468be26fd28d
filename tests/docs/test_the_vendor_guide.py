"""The vendor that docs/adding-a-vendor.md shows is a working one, and so are its tests."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from media.audio.format import L16_16K, MULAW_8K
from voicecore.adapters import registry
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_stt
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import Stt, SttFailed, SttFinal, SttInterim, SttStream
from voicecore.providers.words import Word

GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-vendor.md"
MODULE = "voicecore.adapters.acme_stt"


def block(mark: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (found,) = [one for one in blocks if mark in one]
    return found


def load(source: str, name: str, folder: Path, monkeypatch) -> ModuleType:
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """The guide's module under its own name, and its line in the registry."""
    (line,) = [line for line in block('Adapter("stt"').splitlines() if line]
    adapter = eval(line.strip().rstrip(","), {"Adapter": registry.Adapter})
    assert adapter.factory.startswith(MODULE + ":")
    module = load(block("class AcmeStt:"), MODULE, tmp_path, monkeypatch)
    monkeypatch.setattr(registry, "ADAPTERS", (*registry.ADAPTERS, adapter))
    return module


async def test_its_own_tests_pass(acme, tmp_path, monkeypatch):
    tests = load(block("async def test_it_hears"), "test_acme_of_the_guide", tmp_path, monkeypatch)
    names = [name for name in dir(tests) if name.startswith("test_")]
    assert len(names) == 2
    for name in names:
        await getattr(tests, name)()


@pytest.mark.parametrize(("protocol", "name"), [(Stt, "AcmeStt"), (SttStream, "AcmeStream")])
def test_it_has_all_that_the_protocol_has(acme, protocol, name):
    members = {*vars(protocol), *protocol.__annotations__}
    wanted = {member for member in members if not member.startswith("_")}
    assert wanted
    assert not wanted - set(dir(getattr(acme, name)))


async def test_it_needs_a_key(acme):
    vendor = make_stt(VendorConfig("acme"), {})
    assert vendor.accepts(L16_16K) == MULAW_8K
    with pytest.raises(VendorError) as caught:
        await vendor.start()
    assert caught.value.code == "auth_failed"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"final_timeout": 1}, "settings.final_timeout"),
        ({"final_timeout_ms": 1}, "settings.final_timeout_ms"),
        ({"base_url": "https://acme.example"}, "settings.base_url"),
    ],
)
def test_it_names_a_wrong_setting(acme, settings, field):
    with pytest.raises(VendorConfigError) as caught:
        make_stt(VendorConfig("acme", settings=settings), {})
    assert caught.value.field == field


def test_it_understands_messages(acme):
    assert acme.event_of('{"type":"partial","text":"a","new":1}') == SttInterim("a")
    words = '[{"text":"a","start_ms":20,"end_ms":40}]'
    final = acme.event_of(f'{{"type":"final","text":"a","words":{words}}}')
    assert final == SttFinal("a", (Word("a", 20, 40),))
    assert acme.event_of('{"type":"news"}') is None
    for nonsense in ("", "[]", '{"text":1}', b"\xff"):
        failed = acme.event_of(nonsense)
        assert isinstance(failed, SttFailed)
        assert failed.error.code == "garbage"
