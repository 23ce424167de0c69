"""WSGI applications that clusters in the tests serve."""
