"""Training data loader: sources, mixture, tokenizer, augmentation and step-addressed batches."""
