"""Architectures: one file each, one line here."""

from behavior_lm.models.encoders.albert import Albert
from behavior_lm.models.encoders.albert import AlbertConfig
from behavior_lm.models.encoders.bert import Bert
from behavior_lm.models.encoders.bert import BertConfig
from behavior_lm.models.encoders.ligr import Ligr
from behavior_lm.models.encoders.ligr import LigrConfig
from behavior_lm.models.encoders.longformer import Longformer
from behavior_lm.models.encoders.longformer import LongformerConfig
from behavior_lm.models.encoders.modern import Modern
from behavior_lm.models.encoders.modern import ModernConfig
from behavior_lm.models.encoders.reformer import Reformer
from behavior_lm.models.encoders.reformer import ReformerConfig

# name -> (model, its config)
ENCODERS = {
    "bert": (Bert, BertConfig),
    "albert": (Albert, AlbertConfig),
    "ligr": (Ligr, LigrConfig),
    "longformer": (Longformer, LongformerConfig),
    "modern": (Modern, ModernConfig),
    "reformer": (Reformer, ReformerConfig),
}
