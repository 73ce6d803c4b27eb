"""Does a model that reads the time between events predict masked events better?

Hypothesis: every encoding of the gap needs fewer bits per event than no time,
in the same minutes, and gates fewer than plain buckets. An interval of the
difference to `none` that holds 0 refutes the first. `rotary` and
`attention_bias` tell attention the time between two tokens. `calendar` adds
the hour and the weekday to buckets. `shuffled` and `constant` have the
parameters of buckets, but read gaps of other places of the row, or no gap at
all: what they gain is due to parameters and not to time.
"""

SWEEP = {
    "none": ("time=none", {}),
    "bucket": ("time=bucket", {}),
    "gate": ("time=gate", {}),
    "gate_scaled": ("time=gate_scaled", {}),
    "gate_multiplied": ("time=gate_multiplied", {}),
    "gate_bucket": ("time=gate_bucket", {}),
    "mercer": ("time=mercer", {}),
    "time2vec": ("time=time2vec", {}),
    "rotary": ("time=rotary", {}),
    "attention_bias": ("time=attention_bias", {}),
    "bucket_rotary": ("time=bucket+rotary", {}),
    "bucket_attention_bias": ("time=bucket+attention_bias", {}),
    "calendar": ("time=bucket", {"data.features": "hour,weekday"}),
    "shuffled": ("time=bucket", {"model.time_control": "shuffled"}),
    "constant": ("time=bucket", {"model.time_control": "constant"}),
}
CONTROL = "none"
MINUTES = 5.0
