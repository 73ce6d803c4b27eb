"""Few new parameters beside the frozen ones of a model."""
