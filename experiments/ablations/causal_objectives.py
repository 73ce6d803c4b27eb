"""What should a causal model learn beside the next event?

Hypothesis: the time to the next event (`gaps`) costs few bits and makes vectors
that tell a script from a person; history tokens make vectors that tell more of
a user than means of states do, at few bits; events of the next ten minutes
(`future`) and contrastive parts help vectors alone, and cost bits in the same
time, since each takes a pass of its own. Refuted if the probe's AUC is not
above that of `next`. Every row is scored by the bits of the next event. Vectors
are means over all events, and the states of history tokens where a run has
them.
"""

_NEXT = "length=256,time=bucket,objective=next_events"
SWEEP = {
    "next": (_NEXT, {}),
    "gaps": (_NEXT, {"objective.gap_weight": 0.5}),
    "history": (_NEXT, {"objective.history_rate": 0.5}),
    "gaps_history": (
        _NEXT,
        {"objective.gap_weight": 0.5, "objective.history_rate": 0.5},
    ),
    "contrastive": (
        f"{_NEXT}+contrastive",
        {"objective.contrastive.weight": 0.1},
    ),
    "future": (
        f"{_NEXT}+future_events",
        {"objective.future_events.weight": 0.1},
    ),
}
CONTROL = "next"
MINUTES = 10.0
