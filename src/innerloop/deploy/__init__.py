"""Agents in use: what a finished run does outside training."""
