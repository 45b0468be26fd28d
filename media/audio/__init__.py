"""Audio formats and the arithmetic between them. Pure."""
