"""Where orders go: `base` has the protocol, `paper` simulates on a recorded market."""
