"""The endpoints: one file per resource, whose handlers only translate.

A file declares its endpoints and names them in a tuple ``ENDPOINTS``; the file is named here.
"""

from control.api import oauth
from control.api.admin import admins as admin_admins
from control.api.admin import auth as admin_auth
from control.api.admin import calls as admin_calls
from control.api.admin import config as admin_config
from control.api.admin import logs as admin_logs
from control.api.admin import oauth_clients as admin_oauth_clients
from control.api.admin import phone_numbers as admin_phone_numbers
from control.api.admin import secrets as admin_secrets
from control.api.admin import templates as admin_templates
from control.api.admin import users as admin_users
from control.api.admin import workspaces as admin_workspaces
from control.api.client import (
    agent_tests,
    agent_versions,
    agents,
    api_keys,
    auth,
    calls,
    invitations,
    members,
    oauth_clients,
    phone_numbers,
    secrets,
    templates,
    workspaces,
)
from control.api.sapien import audio, customers, extensions, users

_RESOURCES = (
    oauth,
    auth,
    oauth_clients,
    api_keys,
    admin_auth,
    admin_admins,
    admin_oauth_clients,
    customers,
    users,
    extensions,
    audio,
    workspaces,
    members,
    invitations,
    admin_workspaces,
    admin_users,
    admin_config,
    admin_logs,
    admin_templates,
    templates,
    agents,
    agent_versions,
    agent_tests,
    phone_numbers,
    admin_phone_numbers,
    secrets,
    admin_secrets,
    calls,
    admin_calls,
)

ENDPOINTS = tuple(endpoint for resource in _RESOURCES for endpoint in resource.ENDPOINTS)
"""All that is served."""
