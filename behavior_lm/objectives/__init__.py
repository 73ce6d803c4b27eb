"""Pretraining losses: one file each, one line here."""

from behavior_lm.objectives.masked_events import MaskedEvents

OBJECTIVES = {"masked_events": MaskedEvents}
