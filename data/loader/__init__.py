"""The training loader: sources, mixture, tokenizer, augmentation and batches by step."""
