"""The results table and its statistics: intervals, paired differences and claims."""
