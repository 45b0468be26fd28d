"""What a speech or language vendor is to a conversation: three protocols and their events.

Adapters implement them (``voicecore/adapters``); a conversation knows nothing else of vendors.
Every stream is opened without waiting, takes audio or text synchronously, and reports through
a ``sink`` that is safe to call from the event loop at any time. Nothing reaches the sink after
``close()`` or ``cancel()`` has returned.
"""
