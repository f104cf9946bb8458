"""Many runs that are compared: the causality proof."""
