"""The page: one HTML file that needs nothing else, in light and dark."""

import base64

from behavior_lm.reporting import markup
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import tag
from behavior_lm.reporting.plots import COLOURS
from behavior_lm.reporting.section import Section

# Whoever reads the file knows by this that it is ours.
GENERATOR = "behavior_lm report"
# No script runs and nothing is fetched, even if a text got through as markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
