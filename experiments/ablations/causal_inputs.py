"""What helps a causal model to predict the next event in a short run?

Hypothesis: reading time helps, and hashed n-grams at the input help more than
they cost: the first layer need not find the event before. An interval of the
difference to `none` that holds 0 refutes it.
"""

_CAUSAL = "objective=next_events,length=256"
SWEEP = {
    "none": (f"{_CAUSAL},time=none", {}),
    "bucket": (f"{_CAUSAL},time=bucket", {}),
    "bucket_2_grams": (f"{_CAUSAL},time=bucket", {"model.ngram_order": 2}),
    "bucket_3_grams": (f"{_CAUSAL},time=bucket", {"model.ngram_order": 3}),
}
CONTROL = "none"
MINUTES = 10.0
