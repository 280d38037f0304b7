"""Released VideoPrism weights: model configurations, weight formats, loading and saving."""
