"""Tracking services that a run's log is passed on to: one protocol, one file for each service, one thread that follows."""
