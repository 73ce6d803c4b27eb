"""Does a causal model learn more of the next event if it predicts more?

Hypothesis: what happens in the next minutes (future_events) costs bits of the
next event in the same minutes, since it takes a pass of its own, and helps
vectors of users, which `experiments/downstream.py` measures on a run;
the time to the next event (gap_weight) costs little. Every row is scored by the
bits of the next event alone, and each objective has a head of its own. An
interval of the difference to `next` above 0 confirms the cost, and one that
holds 0 refutes it. Give --steps to compare what the same steps teach.
"""

_ARGUMENT = "time=bucket,length=512,objective=next_events"
_FUTURE = f"{_ARGUMENT}+future_events"
SWEEP = {
    "next": (_ARGUMENT, {}),
    "next_gaps": (_ARGUMENT, {"objective.gap_weight": 0.5}),
    "next_future_60": (_FUTURE, {"objective.future_events.horizon": 60.0}),
    "next_future_600": (_FUTURE, {}),
    "next_future_600_tenth": (
        _FUTURE,
        {"objective.future_events.weight": 0.1},
    ),
}
CONTROL = "next"
MINUTES = 10.0
