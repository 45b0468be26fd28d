"""Why a call cannot be replayed."""


class ReplayError(Exception):
    """``code`` is stable: ``no_call``, ``no_events``, ``bad_events``, ``no_recording``,
    ``bad_recording``, ``too_large``, ``unsupported``, ``not_finished``, ``out_taken``,
    ``vendor_failed``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
