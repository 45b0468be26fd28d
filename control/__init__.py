"""The outside of the server: command line, settings, logs, HTTP.

The only package that reads the environment.
"""
