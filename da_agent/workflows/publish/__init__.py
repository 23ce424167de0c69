"""From the inbox to the next release."""
