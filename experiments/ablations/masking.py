"""Which events should be hidden in training, under one fixed uniform mask?

Hypothesis: strategies that hide what the model does not know yet (mtc, pmtc)
or what is rare (idf) need fewer bits than uniform masks. Their own masks are
never scored. An interval of the difference to `uniform` that holds 0 refutes
it.
"""

SWEEP = {
    "uniform": ("time=bucket", {}),
    "span": ("time=bucket", {"objective.strategy": "span"}),
    "idf": ("time=bucket", {"objective.strategy": "idf"}),
    "mtc": ("time=bucket", {"objective.strategy": "mtc"}),
    "pmtc": ("time=bucket", {"objective.strategy": "pmtc"}),
    "pmtc_faithful": (
        "time=bucket",
        {"objective.strategy": "pmtc", "objective.budget": "bernoulli"},
    ),
}
CONTROL = "uniform"
MINUTES = 5.0
