"""The telephony management API: `/api/v1`, and `/v1`."""
