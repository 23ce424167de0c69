"""The outside world, one module for each thing. Foreign exceptions are translated here."""
