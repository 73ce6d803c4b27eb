"""Do long rows pay, and must a model grow up to them?

Hypothesis: rows of 2,048 from the start are worse than windows of 128, since a
batch of as many tokens holds fewer users; rows that grow from 128 over 512 to
2,048 are better than both, since the model has learned from many users before
it reads long. Refuted if the interval of a growing row's difference to
`longformer_windows` holds 0. Batches of all rows hold as many tokens, so give
--steps; each row is scored at its own full length.
"""

# Batches of 4,096 tokens; windows of a small model, on each side.
_SHORT = {"data.batch_size": 32, "model.window_size": 32}
_LONG = {"data.batch_size": 2, "model.window_size": 64}
_GROWING = _LONG | {"data.length_schedule": "128:0.6,512:0.3,2048:0.1"}
SWEEP = {
    f"{model}_{name}": (f"model={model},time=bucket,length={length}", changes)
    for model in ("longformer", "modern")
    for name, length, changes in (
        ("windows", 128, _SHORT),
        ("long", 2048, _LONG),
        ("growing", 2048, _GROWING),
    )
}
CONTROL = "longformer_windows"
