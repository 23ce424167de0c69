"""What supervisor runs."""
