"""What every test starts from, wherever the suite itself was started: signals as a terminal would have them."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
