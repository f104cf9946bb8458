"""The commands of ``download_data.py``, one module each; ``add(commands)`` registers its parser."""
