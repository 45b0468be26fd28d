"""What people are told by e-mail about their accounts. Nothing that a stranger has typed is in
these mails, for a stranger may have them sent."""

from urllib.parse import quote

from control.mail import Mail
from control.settings import Settings

_VERIFY = """\
Somebody, most likely you, has signed up with this e-mail address.

If it was you, follow this link within a day:

{link}

If it was not you, do nothing: without the link there is no account.
"""
_KNOWN = """\
Somebody, most likely you, tried to sign up with this e-mail address. You have an account already.

Log in here:

{link}

Is your password lost? There you can set another one. If it was not you, do nothing.
"""
_RESET = """\
Somebody, most likely you, wants to set a new password for your account.

If it was you, follow this link within an hour:

{link}

If it was not you, do nothing: your password stays as it is.
"""
_CHANGED = """\
Your account has a new password, and whoever else was logged in to it is logged out.

If it was not you who set it, set another one at once:

{link}
"""


def verify_email(settings: Settings, to: str, token: str) -> Mail:
    return _mail(settings, to, "Confirm your e-mail address", _VERIFY, "verify-email", token)


def already_registered(settings: Settings, to: str) -> Mail:
    return _mail(settings, to, "You have an account already", _KNOWN, "login")


def reset_password(settings: Settings, to: str, token: str) -> Mail:
    return _mail(settings, to, "Set a new password", _RESET, "reset-password", token)


def password_changed(settings: Settings, to: str) -> Mail:
    return _mail(settings, to, "Your password was changed", _CHANGED, "forgot-password")


def _mail(settings: Settings, to: str, subject: str, text: str, page: str, token: str = "") -> Mail:
    link = f"{settings.portal_url.rstrip('/')}/{page}"
    if token:
        link += f"?token={quote(token, safe='')}"
    return Mail(to, subject, text.format(link=link))
