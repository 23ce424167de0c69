"""Certificates and keys: whether a server can use them, and which of them the web server presents."""
