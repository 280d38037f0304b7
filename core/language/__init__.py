"""Language models that stay frozen: decoder, tokenizer, weight files, greedy decoding."""
