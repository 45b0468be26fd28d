"""A telephone: it plays a carrier and a caller against any media-stream server.

Pure: ``script``, ``caller`` and ``report``. Shells: ``sounds`` (speech made before the call),
``socket`` and ``phone``.
"""
