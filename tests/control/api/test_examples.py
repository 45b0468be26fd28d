"""Whoever copies an example of the documentation is not refused for what is in it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import pytest

from control.api import ENDPOINTS
from control.api.oauth import ERRORS, TokenForm
from control.api.shapes import Body
from control.http.docs.examples import ORIGIN, bodies_of
from control.http.docs.first_steps import STEPS
from control.http.endpoint import Endpoint
from control.http.openapi import openapi
from control.http.reading import parsed
from control.settings import Settings
from control.tenant_agents import tenant_agent
from tests.support.api import Api

DOCUMENT = openapi(ENDPOINTS, "test")
README = (Path(__file__).parents[3] / "README.md").read_text()
TAKING = [one for one in ENDPOINTS if one.body or one.upload or one.form]


def examples_of(one: Endpoint) -> list[dict[str, Any]]:
    """Those of the page."""
    operation = DOCUMENT["paths"][one.path][one.method.lower()]
    return [
        dict(body)
        for kind, media in operation["requestBody"]["content"].items()
        for body in bodies_of(kind, media, DOCUMENT["components"]["schemas"])
    ]


@pytest.mark.parametrize("one", TAKING, ids=str)
def test_an_example_is_taken(one: Endpoint) -> None:
    for example in examples_of(one):
        if one.form is not None:
            fields = dict(parse_qsl(urlencode(example)))
            assert set(fields) <= set(one.form.model_fields)
            one.form.model_validate(fields)
        elif one.upload is not None:
            one.upload.model_validate({**example, "file": b"RIFF"})
        else:
            assert one.body is not None
            one.body.model_validate(parsed(orjson.dumps(example)))


def test_every_configuration_is_an_agent_that_could_answer() -> None:
    found = [
        (one, example.get("config") or example.get("default_config"), example.get("name"))
        for one in TAKING
        for example in examples_of(one)
    ]
    configs = [(one, config, name) for one, config, name in found if config]
    assert {one.name for one, _, _ in configs} >= {"create_agent", "update_agent"}
    assert len(configs) == 3
    for _, config, name in configs:
        tenant_agent({"name": name, **config}, Settings(), {})


def test_every_grant_has_one() -> None:
    (token,) = [one for one in ENDPOINTS if one.form is TokenForm]
    grants = {example["grant_type"] for example in examples_of(token)}
    assert grants == {"client_credentials", "password", "refresh_token"}
    assert len({one.code for one in ERRORS}) == len(ERRORS) == 7


def test_an_example_is_not_handed_down_to_another_shape() -> None:
    """Of pydantic's configurations those of the parents are taken over."""
    for model in {one.body for one in TAKING if one.body is not None}:
        extra = model.model_config.get("json_schema_extra")
        for parent in model.__mro__[1:]:
            if isinstance(parent, type) and issubclass(parent, Body):
                assert extra is None or parent.model_config.get("json_schema_extra") is not extra


def test_the_first_steps_are_taken() -> None:
    steps = [words for _, command in STEPS for words in commands_in(command)]
    assert [words[0] for words in steps] == ["curl"] * 6 + ["voicecore"]
    by_place = {(one.method, re.sub(r"{\w+}", "{}", one.path)): one for one in ENDPOINTS}
    for words in steps[:-1]:
        path = re.sub("WORKSPACE|AGENT", "{}", words[1].removeprefix(ORIGIN))
        one = by_place["POST", path]
        assert ("Authorization: Bearer TOKEN" in words) == (one.access.kind != "public")
        body = json.loads(words[words.index("-d") + 1])
        assert one.body is not None
        one.body.model_validate(body)
        if "config" in body:
            tenant_agent({"name": body["name"], **body["config"]}, Settings(), {})


def commands_in(text: str) -> list[list[str]]:
    """Each in words."""
    lines = re.split(r"\n(?=curl|voicecore)", text)
    return [shlex.split(one.replace("\\\n", " ")) for one in lines]


async def test_a_new_agent_as_in_the_documentation(api: Api) -> None:
    person, token = await api.person()
    workspace = await api.workspace(person)
    by_name = {one.name: one for one in TAKING}
    (new,), (change,) = (examples_of(by_name[name]) for name in ("create_agent", "update_agent"))
    path = f"/workspaces/{workspace}/agents"
    made = await api.post(path, new, token)
    assert made.status == 201, made
    again = await api.put(f"{path}/{made.json['agent']['id']}", change, token)
    assert again.status == 200, again


async def test_a_tier_as_in_the_documentation(api: Api) -> None:
    path = f"/admin/workspaces/{await api.workspace()}/change-tier"
    (one,) = [one for one in TAKING if one.name == "change_tier"]
    (example,) = examples_of(one)
    answer = await api.post(path, example, await api.admin())
    assert answer.json["workspace"]["subscription_tier"] == example["tier_name"]


def test_every_request_of_the_readme_is_there() -> None:
    places = {(one.method, re.sub(r"{\w+}", "{}", one.path)) for one in ENDPOINTS}
    starts = {"api": "", "workspace": "/workspaces/{}", "agent": "/workspaces/{}/agents/{}"}
    commands = re.findall(r"curl [^|\n]*", README.replace("\\\n", " "))
    found = []
    for command in commands:
        named = re.search(r"\$(api|workspace|agent)(/[\w/-]*)?", command)
        if named is None:
            continue
        method = re.search(r"-X (\w+)", command)
        sends = "POST" if " -d " in command else "GET"
        found.append((method[1] if method else sends, starts[named[1]] + (named[2] or "")))
    assert len(found) == 10
    assert set(found) <= places


async def test_an_agent_as_in_the_readme(api: Api) -> None:
    """From the template, over what activation asks for, to one that is live."""
    industry = re.search(r"\$api/templates\?industry=(\w+)", README)
    filled = re.search(r"\.agent\.config \+ (\{.*?\})\)\}", README, re.DOTALL)
    assert industry is not None
    assert filled is not None
    person, token = await api.person()
    path = f"/workspaces/{await api.workspace(person)}/agents"
    listed = (await api.get(f"/templates?industry={industry[1]}", token)).json["templates"]
    made = await api.post(path, {"name": "Front desk", "template_id": listed[0]["id"]}, token)
    agent = f"{path}/{made.json['agent']['id']}"
    asked = await api.post(f"{agent}/activate", None, token)
    assert asked.status == 422
    config = {**made.json["agent"]["config"], **json.loads(filled[1])}
    assert {field.split(".")[1] for field in asked.fields} <= json.loads(filled[1]).keys()
    assert (await api.put(agent, {"config": config}, token)).status == 200
    assert (await api.post(f"{agent}/activate", None, token)).status == 200
