"""The application that a release runs, and what shows that it is ready."""
