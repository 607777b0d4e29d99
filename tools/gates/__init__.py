# SPDX-License-Identifier: MIT
"""The gates of `make check`: each is a function that returns what is wrong, as lines for people."""
