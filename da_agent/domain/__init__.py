"""Values and functions of values: no clock, disk, network or thread."""
