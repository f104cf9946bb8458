"""The edge towards disks and venues: catalog, settings, runs. Knows nothing of `ui`."""
