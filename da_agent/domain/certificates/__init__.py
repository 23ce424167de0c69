"""Certificates and keys: whether they can be served, and by which server."""
