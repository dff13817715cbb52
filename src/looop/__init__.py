"""An autonomous control loop for a person's work. Importing this package runs nothing and imports nothing."""

__version__ = "0.1.0"
