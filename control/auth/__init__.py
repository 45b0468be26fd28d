"""Who somebody is, and how often he may ask."""
