"""What a node tells its terminals: made from what happens on its message bus."""
