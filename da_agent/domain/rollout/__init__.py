"""One release's way through the cluster: slots, failures, verdict."""
