"""Templates, as people choose among them."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from control.api.shapes import Query, Shape
from control.db import templates
from control.http.access import PERSON
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refused
from control.http.refusals import RESOURCE_NOT_FOUND


class TemplateQuery(Query):
    industry: Annotated[str, Field(max_length=63)] | None = None


class ListedTemplate(Shape):
    id: UUID
    name: str
    industry: str
    description: str


class TemplatePreview(ListedTemplate):
    preview_config: dict[str, Any] = Field(
        description="What an agent of it begins with. `{{...}}` are blanks to be filled in."
    )


class Templates(Shape):
    templates: list[ListedTemplate]


class OneTemplate(Shape):
    template: TemplatePreview


@endpoint("GET", "/templates", PERSON, Templates)
async def list_public_templates(context: Context, query: TemplateQuery) -> Answer:
    """List templates to make an agent of."""
    found = await templates.find_public(context.db, query.industry)
    return {
        "templates": [{name: row[name] for name in ListedTemplate.model_fields} for row in found]
    }


@endpoint("GET", "/templates/{template_id}", PERSON, OneTemplate)
async def get_public_template(context: Context, template_id: UUID) -> Answer:
    """Get a template, with the configuration that an agent of it begins with."""
    row = await templates.public_by_id(context.db, template_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    shown = {name: row[name] for name in ListedTemplate.model_fields}
    return {"template": {**shown, "preview_config": row["default_config"]}}


ENDPOINTS = (list_public_templates, get_public_template)
