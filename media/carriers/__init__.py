"""Every carrier spoken, one file each. To add one: its file, and its line in ``CARRIERS``."""
