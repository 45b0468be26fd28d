"""The client portal's API: `/auth`, `/workspaces`, `/templates`."""
