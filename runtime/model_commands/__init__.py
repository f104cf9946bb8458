"""The commands of ``python -m ml``, one module each; ``add(commands)`` registers its parser."""
