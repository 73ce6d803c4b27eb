"""Does it help to tell a masked model where the sentences of a history end?

Hypothesis: a session is a sentence, so a model that knows it needs fewer bits
per event than one that reads the whole history: by SEP tokens, by a vector for
the session's number, by a lowest layer that attends within sessions, or by two
levels: two layers that read each sentence apart, then one among the vectors of
sentences. An interval of the difference to `whole` that holds 0 refutes a row.
Sessions end at gaps over 60 s, over 600 s, or over a threshold that is learned
from all gaps of the training split.
"""

from typing import Any

_MODES: dict[str, dict[str, Any]] = {
    "sep": {"tokenizer.sep_tokens": True},
    "index": {"model.session_rows": 64},
    "within": {"model.session_layers": 1},
    "index_within": {"model.session_rows": 64, "model.session_layers": 1},
    "two_level": {"model.session_layers": 2, "model.sentence_layers": 1},
}
_ARGUMENT = "time=bucket,length=512"
SWEEP: dict[str, tuple[str, dict[str, Any]]] = {"whole": (_ARGUMENT, {})} | {
    f"{mode}_{threshold}": (
        _ARGUMENT,
        changes | {"tokenizer.sessions": threshold},
    )
    for threshold in ("60", "600", "learned")
    for mode, changes in _MODES.items()
}
CONTROL = "whole"
MINUTES = 5.0
