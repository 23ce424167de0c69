"""The outside world, one module for each thing; foreign exceptions end here."""
