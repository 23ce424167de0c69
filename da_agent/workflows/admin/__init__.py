"""What an admin asks and orders."""
