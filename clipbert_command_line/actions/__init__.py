"""What the commands do, loaded when one is called."""
