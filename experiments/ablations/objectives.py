"""Do further objectives beside masked events make a better model?

Hypothesis: gaps of masked events (masked_gaps) and replaced events tell the
model more of each window, so that it needs fewer bits per masked event in the
same time; contrastive parts and sentence order help vectors of users alone, and
cost bits. Every row has a masked head and is scored under the one fixed uniform
mask. Each objective behind a "+" takes a pass of its own, so equal minutes (the
default) say what it is worth and --steps what it teaches. An interval of the
difference to `masked` that holds 0 refutes a gain. Sessions are read by
sentence order alone, and are in all rows so that tokenizers are equal.
"""

_SHARED = {"tokenizer.sessions": "30"}
SWEEP = {
    "masked": ("time=bucket", _SHARED),
    "masked_gaps": ("time=bucket,objective=masked_gaps", _SHARED),
    "masked_gaps_regression": (
        "time=bucket,objective=masked_gaps",
        _SHARED | {"objective.gap_loss": "regression"},
    ),
    "masked_contrastive": (
        "time=bucket,objective=masked_events+contrastive",
        _SHARED | {"objective.contrastive.weight": 0.1},
    ),
    "masked_replaced": (
        "time=bucket,objective=masked_events+replaced_events",
        _SHARED,
    ),
    "masked_order": (
        "time=bucket,objective=masked_events+sentence_order",
        _SHARED | {"objective.sentence_order.weight": 0.1},
    ),
}
CONTROL = "masked"
MINUTES = 5.0
