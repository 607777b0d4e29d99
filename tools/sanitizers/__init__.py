# SPDX-License-Identifier: MIT
"""What tools/sanitize needs inside pytest."""
