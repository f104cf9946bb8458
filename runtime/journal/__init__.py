"""The journal: what happened, appended to a spool while it happens and fed to SQL by a writer."""
