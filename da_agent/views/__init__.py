"""What is shown: the shapes that `--json` prints, and the same shapes as lines for the terminal."""
