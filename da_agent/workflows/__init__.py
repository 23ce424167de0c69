"""What the agent does, step by step, in terms of ports alone."""
