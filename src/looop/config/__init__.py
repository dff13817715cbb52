"""Where things are and how they are set: paths, config file, environment knobs.

Entry rule: the only room that reads the environment; hands out values."""
