"""docs/vendors.md has every setting of every vendor, with a description."""

import re
from pathlib import Path

import msgspec
import pytest
from pydantic import BaseModel, Field

from voicecore.adapters.reference import VENDORS, Vendor, descriptions, insert, load, reference
from voicecore.adapters.registry import ADAPTERS
from voicecore.adapters.scripted_faults import Faults

DOCUMENT = Path(__file__).parents[2] / "docs" / "vendors.md"


class Described(msgspec.Struct):
    depth: int = 3
    """How deep."""


class Undescribed(Described):
    height: int = 0


class Inner(BaseModel):
    """A part."""

    depth: int = 3
    """How deep."""


class Model(BaseModel):
    size: float = Field(1.0, ge=0.5, le=2)
    """How
    large: `a|b`."""
    inner: Inner | None = None
    """What is in it."""


class UndescribedModel(Model):
    weight: int = 1


def test_the_document_is_fresh() -> None:
    text = DOCUMENT.read_text()
    assert insert(text, reference()) == text, "run python -m voicecore.adapters.reference"


def test_every_vendor_is_in_it() -> None:
    described = {(vendor.kind, vendor.vendor) for vendor in VENDORS}
    assert described == {(adapter.kind, adapter.vendor) for adapter in ADAPTERS}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.settings)
def test_every_setting_is_in_it_with_a_description(vendor: Vendor) -> None:
    part = re.escape(f" ({vendor.part})" if vendor.part else "")
    title = f"^### `{vendor.kind}: {vendor.vendor}`{part}$"
    (section,) = re.findall(rf"{title}(.*?)(?=^##)", DOCUMENT.read_text(), re.M | re.S)
    model = load(vendor)
    fields = model.model_fields if issubclass(model, BaseModel) else model.__struct_encode_fields__
    rows = re.findall(r"^\| `(\w+)` \| .+? \| .+? \| (.+) \|$", section, re.M)
    assert {name for name, text in rows} >= set(fields)
    assert set(descriptions(model)) == set(fields)


def test_the_faults_are_described_once() -> None:
    text = reference()
    assert text.count("\n## Faults\n") == 1
    assert all(f"| `{field}` |" in text.partition("## Faults")[2] for field in descriptions(Faults))


@pytest.mark.parametrize(
    ("model", "field"), [(Undescribed, "height"), (UndescribedModel, "weight")]
)
def test_a_setting_without_a_description_is_refused(model: type[BaseModel], field: str) -> None:
    with pytest.raises(ValueError, match=f"{model.__name__}: no description of {field}"):
        descriptions(model)


@pytest.mark.parametrize("model", [Described, Model])
def test_descriptions_are_the_texts_below_the_fields(model: type[BaseModel]) -> None:
    wanted = {"depth": "How deep."}
    if model is Model:
        wanted = {"size": "How large: `a|b`.", "inner": "What is in it."}
    assert descriptions(model) == wanted


def test_a_row_says_what_may_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicecore.adapters.reference.load", lambda vendor: Model)
    vendor = Vendor("tts", "acme", "", key="`ACME_KEY`", model="any", language="any")
    text = reference([vendor])
    assert "| `size` | number, 0.5 to 2 | `1.0` | How large: `a\\|b`. |" in text
    assert "| `settings.inner` | value | default | |" in text
    assert "- key: `ACME_KEY`\n" in text


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        insert("# nothing", "settings")
