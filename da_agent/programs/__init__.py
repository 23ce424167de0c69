"""The programs that supervisor runs."""
