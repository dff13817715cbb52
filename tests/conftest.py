"""What every test starts from: signals as a terminal would have them, and examples that take their time."""

import signal

from hypothesis import settings

settings.register_profile("house", settings(), deadline=None)
settings.load_profile("house")

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
