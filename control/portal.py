"""Where links lead: those in e-mails to the client portal, or to the API where there is no portal;
those in the API's answers to the API."""

import ipaddress
from urllib.parse import quote

import msgspec

from control.settings import Settings

_NOTE = """
There is no portal on this server (VOICECORE_PORTAL_URL is not set), so nothing may be at that
address. The API does the same: {what}

POST {url}{endpoint}
"""


class Portal(msgspec.Struct, frozen=True):
    """``url`` has no slash at its end."""

    url: str
    configured: bool

    def link(self, page: str, token: str = "") -> str:
        link = f"{self.url}/{page}"
        return f"{link}?token={quote(token, safe='')}" if token else link

    def note(self, endpoint: str, *, with_token: bool = False, besides: str = "") -> str:
        """What a mail ends with: how to do without a portal; empty where there is one.

        :param besides: the other fields that the endpoint takes."""
        if self.configured:
            return ""
        what = f"send the token of the link as `token`{besides} to" if with_token else "see"
        return _NOTE.format(what=what, url=self.url, endpoint=endpoint)


def portal_of(settings: Settings, address: str) -> Portal:
    """:param address: the URL at which this server listens."""
    url = settings.portal_url or api_url(settings, address)
    return Portal(url.rstrip("/"), bool(settings.portal_url))


def api_url(settings: Settings, address: str) -> str:
    """Where the API is, without a slash at its end.

    :param address: the URL at which this server listens."""
    return (settings.public_url or address).rstrip("/")


def address_of(host: str, port: int) -> str:
    """The URL of a server that listens there, for somebody on this machine."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host or 'localhost'}:{port}"
    if ip.is_unspecified:
        return f"http://localhost:{port}"
    return f"http://[{ip}]:{port}" if ip.version == 6 else f"http://{ip}:{port}"
