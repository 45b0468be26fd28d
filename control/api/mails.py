"""What people are told by e-mail about their accounts. Nothing that a stranger has typed is in
these mails, for a stranger may have them sent."""

from control.mail import Mail
from control.portal import Portal

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


def verify_email(portal: Portal, to: str, token: str) -> Mail:
    return _mail(portal, to, "Confirm your e-mail address", _VERIFY, "verify-email", token)


def already_registered(portal: Portal, to: str) -> Mail:
    return _mail(portal, to, "You have an account already", _KNOWN, "login")


def reset_password(portal: Portal, to: str, token: str) -> Mail:
    return _mail(
        portal,
        to,
        "Set a new password",
        _RESET,
        "reset-password",
        token,
        besides=", and `new_password`,",
    )


def password_changed(portal: Portal, to: str) -> Mail:
    return _mail(portal, to, "Your password was changed", _CHANGED, "forgot-password")


def _mail(
    portal: Portal,
    to: str,
    subject: str,
    text: str,
    page: str,
    token: str = "",
    *,
    besides: str = "",
) -> Mail:
    """:param page: of the portal; the endpoint that does the same is named after it.
    :param besides: what else that one is sent."""
    note = portal.note(f"/auth/{page}", with_token=bool(token), besides=besides)
    return Mail(to, subject, text.format(link=portal.link(page, token)) + note)
