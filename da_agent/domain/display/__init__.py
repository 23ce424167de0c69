"""Domain values as text for an admin."""
