"""A body that is a form, ``application/x-www-form-urlencoded``, as it came."""

import msgspec


class Form(msgspec.Struct, frozen=True):
    """Its text, not parsed: how it may be wrong is its endpoint's to say."""

    text: str
