"""Reading and writing the records of the store."""
