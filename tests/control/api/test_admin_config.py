"""The platform's settings and tiers."""

from typing import Any

import pytest

from tests.support.api import Api

NEW = {
    "tier_name": "agency",
    "display_name": "Agency",
    "monthly_fee": 299.99,
    "included_minutes": 3000,
    "price_per_minute": 0.085,
    "max_agents": 25,
    "features": ["recording", "white_label"],
}


def change(**values: Any) -> dict[str, Any]:
    return {"settings": [{"key": key, "value": value} for key, value in values.items()]}


class TestSettings:
    async def test_they_are_listed(self, api: Api) -> None:
        answer = (await api.get("/admin/config/settings", await api.admin("read-only"))).json
        assert {one["key"] for one in answer["settings"]} >= {"default_tier", "signup_enabled"}
        assert set(answer["settings"][0]) == {"key", "value", "description", "updated_at"}

    async def test_what_is_named_changes(self, api: Api) -> None:
        token = await api.admin()
        body = change(signup_enabled=False, invitation_days=3, default_tier="starter")
        answer = await api.put("/admin/config/settings", body, token)
        values = {one["key"]: one["value"] for one in answer.json["settings"]}
        assert (values["signup_enabled"], values["invitation_days"]) == (False, 3)
        assert values["default_tier"] == "starter"
        log = await api.run("SELECT details FROM audit_log")
        assert log[0]["details"]["before"]["invitation_days"] == 7
        made = await api.post("/workspaces", {"name": "x"}, (await api.person())[1])
        assert made.json["workspace"]["subscription_tier"] == "starter"

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            (change(colour="red"), {"settings.0.key"}),
            (change(invitation_days="7"), {"settings.0.value"}),
            (change(invitation_days=True), {"settings.0.value"}),
            (change(invitation_days=0), {"settings.0.value"}),
            (change(invitation_days=10**9), {"settings.0.value"}),
            (change(signup_enabled="yes"), {"settings.0.value"}),
            (change(signup_enabled=None), {"settings.0.value"}),
            (change(default_tier="platinum"), {"settings.0.value"}),
            (change(default_tier=["free"]), {"settings.0.value"}),
            (change(signup_enabled=1, colour=2), {"settings.0.value", "settings.1.key"}),
            ({}, {"settings"}),
            ({"settings": [{"key": "signup_enabled"}]}, {"settings.0.value"}),
        ],
    )
    async def test_what_is_wrong_changes_nothing(
        self, api: Api, body: dict[str, Any], fields: set[str]
    ) -> None:
        token = await api.admin()
        before = (await api.get("/admin/config/settings", token)).json
        answer = await api.put("/admin/config/settings", body, token)
        assert (answer.status, answer.fields) == (422, fields)
        assert (await api.get("/admin/config/settings", token)).json == before

    async def test_rows_come_back_as_they_were_listed(self, api: Api) -> None:
        token = await api.admin()
        rows = (await api.get("/admin/config/settings", token)).json["settings"]
        for row in rows:
            row["value"] = 3 if row["key"] == "invitation_days" else row["value"]
            row["description"] += "!"
        answer = await api.put("/admin/config/settings", {"settings": rows}, token)
        assert answer.status == 200
        changed = {one["key"]: one for one in answer.json["settings"]}
        assert changed["invitation_days"]["value"] == 3
        assert not any(one["description"].endswith("!") for one in changed.values())

    async def test_a_mistake_is_told_in_our_words(self, api: Api) -> None:
        body = change(invitation_days="7", signup_enabled=1, default_tier="Big One")
        answer = await api.put("/admin/config/settings", body, await api.admin())
        told = [one["message"] for one in answer.json["error"]["details"]]
        assert told[:2] == ["must be a whole number", "must be true or false"]
        assert told[2].startswith("must be small letters, digits")

    async def test_one_that_is_new_keeps_its_kind(self, api: Api) -> None:
        await api.run("INSERT INTO settings (key, value) VALUES ('greeting', '\"Hello\"')")
        token = await api.admin()
        wrong = await api.put("/admin/config/settings", change(greeting=5), token)
        assert wrong.fields == {"settings.0.value"}
        right = await api.put("/admin/config/settings", change(greeting="Hi"), token)
        assert right.status == 200

    @pytest.mark.parametrize("role", ["support", "finance", "read-only"])
    async def test_only_owners_change_them(self, api: Api, role: str) -> None:
        body = change(signup_enabled=False)
        answer = await api.put("/admin/config/settings", body, await api.admin(role))
        assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")


class TestTiers:
    async def test_the_cheapest_is_first(self, api: Api) -> None:
        answer = (await api.get("/admin/config/tiers", await api.admin("read-only"))).json
        names = [one["tier_name"] for one in answer["tiers"]]
        assert names == ["free", "starter", "professional", "enterprise"]
        assert answer["tiers"][1]["monthly_fee"] == 49
        assert answer["tiers"][1]["price_per_minute"] == 0.12
        assert answer["tiers"][3]["max_agents"] is None

    async def test_a_new_one_is_there_as_it_was_made(self, api: Api) -> None:
        token = await api.admin("finance")
        made = await api.post("/admin/config/tiers", NEW, token)
        assert made.status == 201
        assert {name: made.json["tier"][name] for name in NEW} == NEW
        listed = (await api.get("/admin/config/tiers", token)).json["tiers"]
        assert made.json["tier"] in listed
        rows = await api.run(
            "SELECT monthly_fee_micros, price_per_minute_micros FROM tiers "
            "WHERE tier_name = 'agency'"
        )
        assert tuple(rows[0]) == (299_990_000, 85_000)
        again = await api.post("/admin/config/tiers", NEW, token)
        assert (again.status, again.code, again.fields) == (
            409,
            "DUPLICATE_RESOURCE",
            {"tier_name"},
        )

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"tier_name": "Big One"}, "tier_name"),
            ({"tier_name": "x" * 64}, "tier_name"),
            ({"display_name": ""}, "display_name"),
            ({"monthly_fee": -1}, "monthly_fee"),
            ({"monthly_fee": 1e12}, "monthly_fee"),
            ({"monthly_fee": "NaN"}, "monthly_fee"),
            ({"monthly_fee": True}, "monthly_fee"),
            ({"price_per_minute": 0.0000001}, "price_per_minute"),
            ({"included_minutes": 1.5}, "included_minutes"),
            ({"included_minutes": 2**40}, "included_minutes"),
            ({"max_agents": -1}, "max_agents"),
            ({"features": "all"}, "features"),
            ({"features": ["x"] * 101}, "features"),
            ({"rate_limit_tier": "unlimited"}, "rate_limit_tier"),
            ({"discount": 1}, "discount"),
        ],
    )
    async def test_what_is_wrong(self, api: Api, fields: dict[str, Any], wrong: str) -> None:
        answer = await api.post("/admin/config/tiers", {**NEW, **fields}, await api.admin())
        assert (answer.status, answer.fields) == (422, {wrong})

    async def test_a_change_keeps_the_rest(self, api: Api) -> None:
        token = await api.admin()
        body = {"monthly_fee": 59.5, "max_agents": None, "display_name": None}
        changed = (await api.put("/admin/config/tiers/starter", body, token)).json["tier"]
        assert (changed["monthly_fee"], changed["max_agents"]) == (59.5, None)
        assert (changed["display_name"], changed["included_minutes"]) == ("Starter", 500)
        log = await api.run("SELECT action, details FROM audit_log")
        assert log[0]["action"] == "tier.updated"
        assert log[0]["details"]["before"]["monthly_fee"] == 49

    async def test_one_comes_back_as_it_was_listed(self, api: Api) -> None:
        token, path = await api.admin(), "/admin/config/tiers/starter"
        listed = (await api.get("/admin/config/tiers", token)).json["tiers"]
        (starter,) = [one for one in listed if one["tier_name"] == "starter"]
        answer = await api.put(path, {**starter, "included_minutes": 501}, token)
        assert answer.json["tier"] == {**starter, "included_minutes": 501}
        assert (await api.put(path, {"tier_name": None}, token)).status == 200

    async def test_a_name_stays(self, api: Api) -> None:
        body = {"tier_name": "free", "included_minutes": 1}
        token = await api.admin()
        answer = await api.put("/admin/config/tiers/starter", body, token)
        assert (answer.status, answer.fields) == (422, {"tier_name"})
        (row,) = await api.run("SELECT included_minutes FROM tiers WHERE tier_name = 'starter'")
        assert row["included_minutes"] == 500

    @pytest.mark.parametrize("name", ["platinum", "x" * 70, "Big%20One"])
    async def test_none(self, api: Api, name: str) -> None:
        body = {"monthly_fee": 1}
        answer = await api.put(f"/admin/config/tiers/{name}", body, await api.admin())
        assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    @pytest.mark.parametrize("role", ["support", "read-only"])
    async def test_who_may_not(self, api: Api, role: str) -> None:
        token = await api.admin(role)
        for answer in (
            await api.post("/admin/config/tiers", NEW, token),
            await api.put("/admin/config/tiers/free", {"monthly_fee": 1}, token),
        ):
            assert (answer.status, answer.code) == (403, "PERMISSION_DENIED")
