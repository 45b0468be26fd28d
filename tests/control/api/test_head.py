"""HEAD is answered wherever GET is, with the same head and no body (RFC 9110, 9.3.2)."""

from urllib.parse import urlencode
from uuid import UUID

import pytest

from control.api import ENDPOINTS
from control.http import limits
from control.http.endpoint import Endpoint
from tests.support.api import Api
from tests.support.audio_uploads import customer, sound, upload
from tests.support.examples import example_query, is_uuid
from tests.support.identity import frozen, unlike
from tests.support.tenants import NOWHERE, OF_NOBODY, Tenant, make_tenant

READS = [endpoint for endpoint in ENDPOINTS if endpoint.method == "GET"]


def path_of(endpoint: Endpoint, tenant: Tenant) -> str:
    values: dict[str, UUID | int | str] = {}
    for name, adapter in endpoint.places.items():
        if name in OF_NOBODY:
            values[name] = str(NOWHERE[0]) if is_uuid(adapter) else "1"
        else:
            values[name] = tenant.place(name)[0 if is_uuid(adapter) else 1]
    path = endpoint.path.format(**values)
    query = urlencode(example_query(endpoint))
    return f"{path}?{query}" if query else path


async def test_every_endpoint_that_reads(api: Api) -> None:
    tenant = await make_tenant(api)
    _, person = await api.member(tenant.workspace_id, "owner")
    tokens = {"admin": await api.admin(), "person": person, "member": person}
    tokens["oauth"] = await api.oauth()
    found = 0
    for endpoint in READS:
        path, token = path_of(endpoint, tenant), tokens.get(endpoint.access.kind)
        whole, head = await api.get(path, token), await api.send("HEAD", path, token=token)
        assert (head.status, head.body) == (whole.status, b""), endpoint
        assert set(head.headers) == set(whole.headers), endpoint
        assert head.headers["Content-Type"] == whole.headers["Content-Type"], endpoint
        found += whole.status == 200
    assert found > len(READS) / 2


async def test_what_a_head_tells(api: Api) -> None:
    frozen(api)
    _, token = await api.person()
    for path in ("/workspaces", "/auth/me", "/v1/customers"):
        asked = token if path != "/v1/customers" else await api.oauth()
        whole, head = await api.get(path, asked), await api.send("HEAD", path, token=asked)
        assert unlike(head.headers) == unlike(whole.headers)
        assert head.headers["Content-Length"] == str(len(whole.body))
        assert int(head.headers[limits.REMAINING]) == int(whole.headers[limits.REMAINING]) - 1


async def test_a_file_is_not_sent(api: Api) -> None:
    _, number = await customer(api)
    content, token = sound(), await api.oauth(("read", "write"))
    made = (await upload(api, number, content, token)).json["data"]
    path = f"/api/v1/audio/{made['id']}/download"
    head = await api.send("HEAD", path, token=token)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(content))
    assert (await api.get(path, token)).body == content


@pytest.mark.parametrize("path", ["/workspaces", "/admin/users", "/api/v1/customers"])
async def test_nobody_sees_more_by_it(api: Api, path: str) -> None:
    for token in (None, "nonsense"):
        answer = await api.send("HEAD", path, token=token)
        assert (answer.status, answer.body) == (401, b"")


async def test_what_cannot_be_read_has_none(api: Api) -> None:
    answer = await api.send("HEAD", "/auth/login")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
