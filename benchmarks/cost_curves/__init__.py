"""What scoring costs as clips, texts, videos and processes grow, and a projection to accelerators."""
