"""VideoPrism, trainable: both training stages, the frozen evaluation, and ablations swapped by gin."""
