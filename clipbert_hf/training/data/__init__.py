"""From the rows of data sets to batches: splits, loaders, and what a sample of each kind holds."""
