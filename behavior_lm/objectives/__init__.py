"""Training losses: one file each, one line here."""

from behavior_lm.objectives import future_events
from behavior_lm.objectives import replaced_events
from behavior_lm.objectives import sentence_order
from behavior_lm.objectives.contrastive import Contrastive
from behavior_lm.objectives.full_softmax import FullSoftmax
from behavior_lm.objectives.in_batch import InBatch
from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.objectives.masked_gaps import MaskedGaps
from behavior_lm.objectives.next_events import NextEvents
from behavior_lm.objectives.sampled_items import BinaryCrossEntropy
from behavior_lm.objectives.sampled_items import SampledSoftmax

OBJECTIVES = {
    "masked_events": MaskedEvents,
    "masked_gaps": MaskedGaps,
    "next_events": NextEvents,
    future_events.NAME: future_events.FutureEvents,
    "contrastive": Contrastive,
    replaced_events.NAME: replaced_events.ReplacedEvents,
    sentence_order.NAME: sentence_order.SentenceOrder,
}
# They read a number per state from a head of the model under their name.
SCORED = (replaced_events.NAME, sentence_order.NAME)
# They predict tokens by a head of the model under their name, beside that of
# the others.
WITH_TOKEN_HEAD = (future_events.NAME,)

# Losses of the next item: they take `counts`, the occurrences of items in
# training.
ITEM_OBJECTIVES = {
    "full_softmax": FullSoftmax,
    "sampled_softmax": SampledSoftmax,
    "bce": BinaryCrossEntropy,
    "gbce": BinaryCrossEntropy,
    "in_batch": InBatch,
    "in_batch_all": SampledSoftmax,
}
