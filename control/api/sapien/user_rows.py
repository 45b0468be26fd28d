"""A user's row: what answers show of it, and what a change makes of it."""

from collections.abc import Mapping
from typing import Any

from control.api.sapien.user_shapes import Notifications
from control.db.database import Row

_SHOWN_ROLES = {"owner": "admin", "admin": "admin", "manager": "manager", "member": "user"}
_NAMES = ("first_name", "last_name")
_PERSONS = ("email", *_NAMES, "status")
"""What is the person's in every customer he is in, besides his password."""


def user_of(row: Row) -> dict[str, Any]:
    """As lists show him. Who signed up by himself, or was given another name in the portal, has one
    name."""
    first, _, last = row["name"].partition(" ")
    has_names = name_of(row) == row["name"]
    return {
        "id": row["number"],
        "uuid": row["user_id"],
        "email": row["email"],
        "first_name": row["first_name"] if has_names else first,
        "last_name": row["last_name"] if has_names else last,
        "role": _SHOWN_ROLES[row["role"]],
        "customer_id": row["customer_id"],
        "extension": row["extension"],
        "status": row["status"],
        "last_login_at": row["last_login_at"],
        "created_at": row["joined_at"],
    }


def detail_of(row: Row) -> dict[str, Any]:
    settings = present(row["settings"])
    if "notifications" in settings:
        settings["notifications"] = Notifications(**settings["notifications"]).model_dump()
    return {**user_of(row), "settings": settings}


def person_changes(row: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What of the person's own becomes another than it is shown. Names come together: of one alone
    the other would be lost."""
    shown = user_of(row)
    new = {name: fields[name] for name in _PERSONS if fields.get(name) not in (None, shown[name])}
    if not new.keys().isdisjoint(_NAMES):
        new = {**{name: shown[name] for name in _NAMES}, **new}
        new["name"] = name_of(new)
    return new


def name_of(fields: Mapping[str, Any] | Row) -> str:
    """The one name that the portal has."""
    return f"{fields['first_name']} {fields['last_name']}".strip()


def merged(kept: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with those that are given; null takes one away."""
    settings = {**kept, **changes}
    if changes.get("notifications") is not None:
        before = kept.get("notifications") or {}
        settings["notifications"] = {**before, **changes["notifications"]}
    return present(settings)


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
