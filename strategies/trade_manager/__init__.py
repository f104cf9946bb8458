"""One trade from plan to result, in plain Python: nothing here knows Nautilus."""
