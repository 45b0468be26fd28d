"""A conversation and its vendors: turn-taking, sessions, speech and language adapters, tools.

Knows nothing of HTTP routes, SQL or tenants' money. Imports ``media`` only.
"""
