"""What one node knows, reports and does next."""
