"""A local exchange that speaks the venues' wire protocols and misbehaves on command."""
