"""Shapes of users, as they come and go."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from control.api.shapes import (
    Body,
    Email,
    Id,
    Language,
    Meta,
    NewPassword,
    PageQuery,
    Shape,
    Timezone,
    example,
)

Role = Literal["admin", "manager", "user"]
Status = Literal["active", "inactive", "suspended"]
Extension = Annotated[str, Field(pattern="^[0-9]{2,10}$")]
Names = Annotated[str, Field(min_length=1, max_length=120)]


class Notifications(Body):
    email: bool = True
    sms: bool = False


class UserSettings(Body):
    timezone: Timezone | None = None
    language: Language | None = None
    notifications: Notifications | None = None


class NewUser(Body):
    model_config = example(
        email="jane@example.com",
        first_name="Jane",
        last_name="Doe",
        password="Correct-Horse-7",
        role="user",
        customer_id=1,
        extension="101",
    )

    email: Email
    first_name: Names
    last_name: Names
    password: NewPassword
    role: Role
    customer_id: Id
    extension: Extension | None = None
    settings: UserSettings | None = None


class UserChange(Body):
    email: Email | None = None
    first_name: Names | None = None
    last_name: Names | None = None
    password: NewPassword | None = None
    role: Role | None = None
    status: Status | None = None
    extension: Extension | None = Field(None, description="null takes the extension away.")
    settings: UserSettings | None = None


class UserQuery(PageQuery):
    customer_id: Id | None = None
    role: Role | None = None
    status: Status | None = None


class CreatedUserData(Shape):
    id: int
    uuid: UUID
    email: str
    first_name: str
    last_name: str
    role: Role
    status: Status
    created_at: datetime


class User(CreatedUserData):
    customer_id: int
    extension: str | None
    last_login_at: datetime | None


class ShownNotifications(Shape):
    email: bool
    sms: bool


class ShownUserSettings(Shape):
    """Those that are set."""

    timezone: str | None = None
    language: str | None = None
    notifications: ShownNotifications | None = None


class UserDetail(User):
    settings: ShownUserSettings


class Users(Shape):
    data: list[User]
    meta: Meta


class OneUser(Shape):
    data: UserDetail


class CreatedUser(Shape):
    data: CreatedUserData
