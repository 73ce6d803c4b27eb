"""Architectures: one file each, one line here."""

from behavior_lm.models.bert import Bert
from behavior_lm.models.bert import BertConfig

# name -> (model, its config)
MODELS = {"bert": (Bert, BertConfig)}
