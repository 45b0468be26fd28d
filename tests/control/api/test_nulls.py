"""null is not given: what is made is asked for as what is changed is."""

from collections.abc import Iterator

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from control.api import ENDPOINTS
from tests.support.api import Api, Reply


def pairs() -> Iterator[tuple[str, type[BaseModel], type[BaseModel]]]:
    """Bodies of which one makes what the other changes, in the portals."""
    made = {one.path: one.body for one in ENDPOINTS if one.method == "POST" and one.body}
    for one in ENDPOINTS:
        above = one.path.rpartition("/{")[0]
        if one.method == "PUT" and one.body and above in made and not above.startswith("/api/"):
            yield above, made[above], one.body


def takes_null(field: FieldInfo) -> bool:
    try:
        TypeAdapter(field.annotation).validate_python(None)
    except ValidationError:
        return False
    return True


def test_what_a_change_takes_what_is_made_takes_too() -> None:
    refused, seen = [], 0
    for path, made, changed in pairs():
        for name, field in made.model_fields.items():
            if name in changed.model_fields and not field.is_required():
                seen += 1
                if takes_null(changed.model_fields[name]) and not takes_null(field):
                    refused.append(f"{path}: {name}")
    assert not refused
    assert seen >= 12


def without_its_own(reply: Reply) -> object:
    """What was made, but for what no two have alike."""
    assert reply.status in (200, 201), reply.body
    (made,) = reply.json.values()
    own = ("id", "created_at", "updated_at", "name", "tier_name", "phone_number")
    return {name: value for name, value in made.items() if name not in own}


async def test_of_an_agent(api: Api) -> None:
    owner, token = await api.person()
    path = f"/workspaces/{await api.workspace(owner, subscription_tier='enterprise')}/agents"
    (template,) = await api.run("SELECT id FROM templates WHERE slug = 'dental'")
    body = {"name": "Desk", "template_id": str(template["id"])}
    plain = await api.post(path, body, token)
    nulls = dict.fromkeys(("phone_number_id", "config", "voice_provider", "voice_config"))
    nothing = await api.post(path, {**body, **nulls}, token)
    assert without_its_own(nothing) == without_its_own(plain)
    del nulls["phone_number_id"]
    changed = await api.put(f"{path}/{plain.json['agent']['id']}", nulls, token)
    assert changed.json == plain.json


async def test_of_a_workspace(api: Api) -> None:
    _, token = await api.person()
    plain = await api.post("/workspaces", {"name": "Acme"}, token)
    nulls = dict.fromkeys(("industry", "timezone"))
    nothing = await api.post("/workspaces", {"name": "Acme", **nulls}, token)
    assert without_its_own(nothing) == without_its_own(plain)


async def test_of_a_number(api: Api) -> None:
    owner, token = await api.person()
    path = f"/workspaces/{await api.workspace(owner)}/phone-numbers"
    nulls = dict.fromkeys(("friendly_name", "carrier", "agent_id"))
    plain = await api.post(path, {"phone_number": "+442071234567"}, token)
    nothing = await api.post(path, {"phone_number": "+442071234568", **nulls}, token)
    assert without_its_own(nothing) == without_its_own(plain)


async def test_of_admins(api: Api) -> None:
    token = await api.admin()
    config = {
        "instructions": "Be brief.",
        "stt": {"vendor": "moonshine"},
        "llm": {"vendor": "llama"},
        "tts": {"vendor": "piper"},
    }
    new = {"name": "Florist", "industry": "florist", "default_config": config}
    plain = await api.post("/admin/templates", new, token)
    nulls = dict.fromkeys(("description", "is_public"))
    nothing = await api.post("/admin/templates", {**new, **nulls}, token)
    assert without_its_own(nothing) == without_its_own(plain)
    money = {"monthly_fee": 1, "included_minutes": 1, "price_per_minute": 1}
    tier = {"tier_name": "one", "display_name": "A tier", **money}
    plain = await api.post("/admin/config/tiers", tier, token)
    nulls = dict.fromkeys(("max_agents", "rate_limit_tier", "features"))
    nothing = await api.post("/admin/config/tiers", {**tier, **nulls, "tier_name": "two"}, token)
    assert without_its_own(nothing) == without_its_own(plain)
