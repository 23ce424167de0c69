"""One immutable release, and what differs between two."""
