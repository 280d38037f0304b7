"""The rendered world as data sets for every kind of evaluation."""
