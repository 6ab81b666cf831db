"""The model, its processors and its pipeline, as a reader of transformers expects them; saved with each model."""
