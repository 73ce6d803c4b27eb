"""Encoders of a user's last actions: one file each, one line here."""

from behavior_lm.models.histories.bst import Bst
from behavior_lm.models.histories.din import Din
from behavior_lm.models.histories.plain import AveragePool
from behavior_lm.models.histories.plain import Convolution
from behavior_lm.models.histories.plain import Gru
from behavior_lm.models.histories.plain import NoHistory
from behavior_lm.models.histories.transact import TransAct

HISTORIES = {
    "none": NoHistory,
    "average": AveragePool,
    "cnn": Convolution,
    "gru": Gru,
    "din": Din,
    "bst": Bst,
    "transact": TransAct,
}
