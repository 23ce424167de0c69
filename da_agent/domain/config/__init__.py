"""config.yml: how it is read, checked, compared and redacted."""
