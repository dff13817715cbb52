"""A scratch world that shows the loop at work, without any model."""
