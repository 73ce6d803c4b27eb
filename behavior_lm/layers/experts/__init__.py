"""Layers of several experts: routed, and gated per domain."""
