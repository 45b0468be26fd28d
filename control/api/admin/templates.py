"""Templates, as admins keep them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from control.api.agent_configs import EXAMPLE, AgentName, PartOfConfig, check
from control.api.shapes import Body, Shape, Text, example, filled, given
from control.db import templates
from control.db.database import Row
from control.http.access import ADMIN_READS, ADMIN_SUPPORTS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refused
from control.http.refusals import RESOURCE_NOT_FOUND

Industry = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", description="As `dental` or `real_estate`.")
]


class NewTemplate(Body):
    model_config = example(name="Dental practice", industry="dental", default_config=EXAMPLE)

    name: AgentName
    industry: Industry
    description: Text | None = ""
    default_config: PartOfConfig
    is_public: bool | None = True


class TemplateChange(Body):
    name: AgentName | None = None
    industry: Industry | None = None
    description: Text | None = None
    default_config: PartOfConfig | None = None
    is_public: bool | None = None


class TemplateUse(Shape):
    id: UUID
    name: str
    industry: str
    is_public: bool
    usage_count: int


class Template(TemplateUse):
    slug: str | None = Field(description="Of those that ship.")
    description: str
    default_config: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class TemplateUses(Shape):
    templates: list[TemplateUse]


class WholeTemplate(Shape):
    template: Template


@endpoint("GET", "/admin/templates", ADMIN_READS, TemplateUses)
async def list_templates(context: Context) -> Answer:
    """List templates, and how many agents were made of each."""
    found = await templates.find_all(context.db)
    return {"templates": [{name: row[name] for name in TemplateUse.model_fields} for row in found]}


@endpoint(
    "POST", "/admin/templates", ADMIN_SUPPORTS, WholeTemplate, status=201, heavy="configurations"
)
async def create_template(context: Context, body: NewTemplate) -> Answer:
    """Create a template. Its configuration must be whole: an agent of it needs nothing else."""
    fields = filled(body)
    await _complete(context, fields, body.name)
    row = await templates.insert(context.db, context.now, fields)
    await context.write_down("template.created", "template", row["id"], after=_told(fields))
    return {"template": _template_of(row)}


@endpoint("GET", "/admin/templates/{template_id}", ADMIN_READS, WholeTemplate)
async def get_template(context: Context, template_id: UUID) -> Answer:
    """Get a template."""
    return {"template": _template_of(await _found(context, template_id))}


@endpoint(
    "PUT", "/admin/templates/{template_id}", ADMIN_SUPPORTS, WholeTemplate, heavy="configurations"
)
async def update_template(context: Context, template_id: UUID, body: TemplateChange) -> Answer:
    """Change a template: the fields that are given. Agents that were made of it stay as they are,
    and one that ships is not replaced by later versions of it any more."""
    before = await _found(context, template_id)
    fields = {name: value for name, value in given(body).items() if value is not None}
    if "default_config" in fields:
        await _complete(context, fields, fields.get("name", before["name"]))
    row = await templates.update(context.db, template_id, context.now, fields)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    await context.write_down(
        "template.updated",
        "template",
        template_id,
        before=_told({name: before[name] for name in fields}),
        after=_told(fields),
    )
    return {"template": _template_of(row)}


@endpoint("DELETE", "/admin/templates/{template_id}", ADMIN_SUPPORTS, None)
async def delete_template(context: Context, template_id: UUID) -> Answer:
    """Delete a template. Agents that were made of it stay."""
    before = await _found(context, template_id)
    await templates.delete(context.db, template_id, context.now)
    await context.write_down(
        "template.deleted", "template", template_id, before={"name": before["name"]}
    )
    return None


async def _found(context: Context, template_id: UUID) -> Row:
    """:raises Refused: there is no such template."""
    row = await templates.by_id(context.db, template_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


async def _complete(context: Context, fields: dict[str, Any], name: str) -> None:
    """Name the configuration, which agents name anew, and check it as an agent's.

    :raises Refused: it is wrong."""
    fields["default_config"] = {"name": name, **fields["default_config"]}
    config = fields["default_config"]
    await check(context, config, None, ready=False, field="default_config")


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """For the audit log, where configurations are named only: they are long, and may hold what
    is nobody's business."""
    return {name: "..." if name == "default_config" else value for name, value in fields.items()}


def _template_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in Template.model_fields}


ENDPOINTS = (list_templates, create_template, get_template, update_template, delete_template)
