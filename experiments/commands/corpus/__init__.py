"""Commands on data: raw files to shards, reports, pictures of batches, rendered clips."""
