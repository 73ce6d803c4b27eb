"""Interactions of several domains, as prompts of a language model."""
