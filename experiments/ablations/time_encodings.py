"""Does a model that reads the time between events predict masked events better?

Hypothesis: buckets of the gap and the gate both need fewer bits per event than
no time, in the same minutes. An interval of the difference to `none` that holds
0 refutes it. `calendar` adds the hour and the weekday to buckets.
"""

SWEEP = {
    "none": ("time=none", {}),
    "bucket": ("time=bucket", {}),
    "gate": ("time=gate", {}),
    "calendar": ("time=bucket", {"data.features": "hour,weekday"}),
}
CONTROL = "none"
MINUTES = 5.0
