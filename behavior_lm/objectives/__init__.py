"""Training losses: one file each, one line here."""

from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.objectives.next_events import NextEvents

OBJECTIVES = {"masked_events": MaskedEvents, "next_events": NextEvents}
