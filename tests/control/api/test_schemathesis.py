"""Every endpoint is tried with what its documentation allows, and with what it does not.

Whatever comes, the answer is one that is documented, and no server's error. What is tried is the
same each time.
"""

import asyncio
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from control.api import ENDPOINTS
from control.auth import tokens
from control.db.database import PLATFORM
from control.http.endpoint import Endpoint
from control.http.idempotency import KEY
from control.http.openapi import openapi
from tests.support.api import Api
from tests.support.tenants import OF_NOBODY, make_tenant

EXAMPLES = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 6}
"""Of every endpoint."""
SHARES = 4
"""So many tests, which can run beside one another, have the endpoints between them."""
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
ANSWER_TIMEOUT_S = 20.0
ENDPOINT_AT = {(one.method, one.path): one for one in ENDPOINTS}


def server_error(context: CheckContext, answer: Response, case: Case) -> bool | None:
    """What the endpoint itself says of a part that is not here now is none."""
    refusals = ENDPOINT_AT[case.operation.method.upper(), case.operation.path].refusals
    if answer.status_code == 503 and any(f'"{one.code}"' in answer.text for one in refusals):
        return None
    return not_a_server_error(context, answer, case)


class Caller(msgspec.Struct):
    """Who calls an endpoint, and what he knows."""

    token: str | None
    places: dict[str, Any]
    customer_id: int


@pytest.mark.parametrize("share", range(SHARES))
async def test_every_endpoint_keeps_to_its_documentation(
    api: Api, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hundreds of people are made, none of whom has anything to hide.
    monkeypatch.setattr(api.plane.passwords, "_hasher", PasswordHasher(1, 8, 1))
    paths = sorted({endpoint.path for endpoint in ENDPOINTS})[share::SHARES]
    document = openapi((one for one in ENDPOINTS if one.path in paths), "test")
    schema = schemathesis.openapi.from_dict(document)
    expected = {place for place in ENDPOINT_AT if place[1] in paths}
    tried, wrong = set(), []
    for found in schema.get_all_operations():
        operation = found.ok()
        place = operation.method.upper(), operation.path
        tried.add(place)
        for mode in EXAMPLES:
            caller = await a_caller(api, ENDPOINT_AT[place])
            wrong += await asyncio.to_thread(
                lambda *what: list(failures(*what)), api.url, operation, mode, caller
            )
    assert tried == expected
    assert not wrong, "\n\n".join(wrong)


async def a_caller(api: Api, endpoint: Endpoint) -> Caller:
    """Somebody who may, with a workspace of his own and one of everything in it: what he does to
    it is nobody else's."""
    tenant = await make_tenant(api)
    kind = endpoint.access.kind
    token = None
    if kind == "admin":
        token = await api.admin()
    elif kind == "oauth":
        token = await api.oauth()
    elif kind != "public":
        async with api.plane.db.transaction(PLATFORM) as db:
            holder = tokens.Holder(user_id=tenant.owner)
            token = (await tokens.issue(db, holder, api.plane.now())).access
    which = 1 if kind == "oauth" else 0
    found = {name: tenant.place(name)[which] for name in endpoint.places if name not in OF_NOBODY}
    places = {name: one if kind == "oauth" else str(one) for name, one in found.items()}
    return Caller(token, places, tenant.place("customer_id")[1])


def failures(
    url: str, operation: APIOperation, mode: GenerationMode, caller: Caller
) -> Iterator[str]:
    """What went wrong, with a request that brings it about."""
    headers = {} if caller.token is None else {"Authorization": f"Bearer {caller.token}"}
    if mode is GenerationMode.NEGATIVE and not can_be_wrong(operation):
        return

    with requests.Session() as session:

        @settings(
            max_examples=EXAMPLES[mode],
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode, path_parameters=caller.places))
        def holds(case: Case) -> None:
            if mode is GenerationMode.POSITIVE and "customer_id" in fields_of(case):
                case.body["customer_id"] = caller.customer_id
            case.headers.pop(KEY, None)  # with the same one all would be the same request
            answer = case.call(url, session=session, headers=headers, timeout=ANSWER_TIMEOUT_S)
            case.validate_response(answer, checks=[server_error, *CHECKS], headers=headers)

        try:
            holds()
        except (Failure, FailureGroup) as failure:
            details = failure.exceptions if isinstance(failure, FailureGroup) else [failure]
            yield "\n".join([f"{operation.label} {mode.value}:", *map(str, details)])


def fields_of(case: Case) -> Collection[str]:
    return case.body if isinstance(case.body, dict) else ()


def can_be_wrong(operation: APIOperation) -> bool:
    """Whether it takes anything."""
    return bool(operation.body or operation.query)
