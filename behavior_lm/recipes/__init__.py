"""Kinds of runs: one readable page each."""
