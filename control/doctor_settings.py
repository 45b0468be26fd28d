"""Settings, as `voicecore doctor` looks at them: misspelt ones, and what follows from others."""

from collections.abc import Mapping

from control.findings import Finding
from control.portal import address_of, portal_of
from control.settings import Settings
from control.stray_settings import stray_settings


def strays(environ: Mapping[str, str]) -> Finding:
    """Variables that are named as settings and are none."""
    found = stray_settings(environ)
    if not found:
        return Finding("settings", "ok", "none is misspelt")
    named = ", ".join(one.variable for one in found)
    hints = [f"{one.variable}: {one.hint}" for one in found if one.hint]
    advice = "; ".join(hints) or "docs/configuration.md has all that there are"
    return Finding("settings", "warning", f"nobody reads {named}", advice)


def links(settings: Settings, host: str, port: int) -> Finding:
    """Where the links in e-mails lead."""
    portal = portal_of(settings, address_of(host, port))
    if portal.configured:
        return Finding("links in e-mails", "ok", f"lead to {portal.url}")
    advice = (
        "Set VOICECORE_PORTAL_URL. Without a portal a link's token goes to "
        "POST /auth/verify-email, /auth/reset-password or /auth/accept-invitation"
    )
    detail = f"lead to {portal.url}, where no portal is"
    return Finding("links in e-mails", "warning", detail, advice)
