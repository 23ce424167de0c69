"""Domain values as text for a person."""
