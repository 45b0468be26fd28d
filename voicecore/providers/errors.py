"""A vendor's failure, as a value that can be acted on."""


class VendorError(Exception):
    """``code`` is stable and names what went wrong, not where:

    ``connect_failed``, ``connect_timeout``, ``auth_failed``, ``quota_exceeded``,
    ``rate_limited``, ``bad_request``, ``model_not_found``, ``first_output_timeout``,
    ``stalled``, ``disconnected``, ``garbage``, ``overloaded``, ``vendor_error``.

    ``retryable`` says whether the same request may succeed on another try or elsewhere."""

    def __init__(self, vendor: str, code: str, detail: str, *, retryable: bool) -> None:
        super().__init__(f"{vendor}: {code}: {detail}")
        self.vendor = vendor
        self.code = code
        self.detail = detail
        self.retryable = retryable
