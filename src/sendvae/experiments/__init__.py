"""Experiments: declarations and runners on top of the jobs."""
