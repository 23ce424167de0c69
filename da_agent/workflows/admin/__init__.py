"""What an admin asks for and orders."""
