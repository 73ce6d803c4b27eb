"""Features of table rows: numbers, categories, sets of them, texts.

```
columns = SampleColumns(labels={"label": "binary"}, dense=["I1"],
                        categorical=["C1"], user="")
table = read_table(frame, columns, None)
space = FeatureSpace.fit(table.frame[train], FeatureSchema.of(
    dense={"I1": "log"}, categorical={"C1": {"min_count": 10}}))
arrays = space.encode(table.frame)      # ids, dense, bag/NAME
```

schema: which columns are features, and of what kind.
dense: numbers as logarithms or quantiles, normalised by the training rows.
tables: categories as ids of ONE array of vectors, with offsets.
space: both, fitted, saved as JSON.
source: reads the file of a table; that of Criteo with or without its header.
"""

from behavior_lm.data.features.schema import Categorical
from behavior_lm.data.features.schema import criteo_schema
from behavior_lm.data.features.schema import Dense
from behavior_lm.data.features.schema import FeatureSchema
from behavior_lm.data.features.space import FeatureSpace
from behavior_lm.data.features.space import to_markdown

__all__ = [
    "Categorical",
    "Dense",
    "FeatureSchema",
    "FeatureSpace",
    "criteo_schema",
    "to_markdown",
]
