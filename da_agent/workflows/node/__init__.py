"""What a node does to serve the wanted release."""
