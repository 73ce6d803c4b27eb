"""The canonical event table and the special tokens.

One row is one event. Ids are strings: real logs hold `ai`, `Item_Garden` and
`+44703335` among the numbers.
"""

import polars as pl

# Written into every dataset; readers refuse another one.
SCHEMA_VERSION = 2

USER_ID = "user_id"
EVENT_ID = "event_id"
DESIGN_ID = "design_id"
TIMESTAMP = "timestamp"
EVENT_COLUMNS = (USER_ID, EVENT_ID, DESIGN_ID, TIMESTAMP)

# The design id of an event without an argument.
NO_DESIGN = "0"

EVENT_SCHEMA = pl.Schema([
    (USER_ID, pl.String()),
    (EVENT_ID, pl.String()),
    (DESIGN_ID, pl.String()),
    (TIMESTAMP, pl.Datetime("us", "UTC")),
])

# Token ids below NUM_SPECIAL are special in every tokenizer.
PAD_ID, MASK_ID, UNK_ID, CLS_ID, SEP_ID = range(5)
SPECIAL_TOKENS = ("[PAD]", "[MASK]", "[UNK]", "[CLS]", "[SEP]")
NUM_SPECIAL = len(SPECIAL_TOKENS)

# Time gaps are counted in units of 100 ms.
GAP_UNIT_US = 100_000
GAPS_PER_SECOND = 1_000_000 // GAP_UNIT_US
