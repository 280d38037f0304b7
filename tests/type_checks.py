"""The checker of annotations in tests of `data`: beartype that accepts an int for a float, as mypy does."""

import beartype

numbers = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
