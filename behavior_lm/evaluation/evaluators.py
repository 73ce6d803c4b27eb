"""What can be measured of a run: one file each, one line here."""

from behavior_lm.evaluation.future_events import FutureEventScores
from behavior_lm.evaluation.label_scores import LabelScores
from behavior_lm.evaluation.masked_gaps import MaskedGapScores
from behavior_lm.evaluation.masked_perplexity import MaskedPerplexity
from behavior_lm.evaluation.next_event_perplexity import NextEventPerplexity
from behavior_lm.evaluation.window_scores import HalvesFound
from behavior_lm.evaluation.window_scores import OrderAccuracy
from behavior_lm.evaluation.window_scores import ReplacedDetection

EVALUATORS = {
    "labels": LabelScores,
    "masked_events": MaskedPerplexity,
    "masked_gaps": MaskedGapScores,
    "next_events": NextEventPerplexity,
    "future_events": FutureEventScores,
    "contrastive": HalvesFound,
    "replaced_events": ReplacedDetection,
    "sentence_order": OrderAccuracy,
}
