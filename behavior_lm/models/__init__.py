"""Architectures: one file each, one line here."""

from behavior_lm.models.albert import Albert
from behavior_lm.models.albert import AlbertConfig
from behavior_lm.models.bert import Bert
from behavior_lm.models.bert import BertConfig
from behavior_lm.models.longformer import Longformer
from behavior_lm.models.longformer import LongformerConfig
from behavior_lm.models.modern import Modern
from behavior_lm.models.modern import ModernConfig
from behavior_lm.models.reformer import Reformer
from behavior_lm.models.reformer import ReformerConfig

# name -> (model, its config)
MODELS = {
    "bert": (Bert, BertConfig),
    "albert": (Albert, AlbertConfig),
    "longformer": (Longformer, LongformerConfig),
    "modern": (Modern, ModernConfig),
    "reformer": (Reformer, ReformerConfig),
}
