"""What the stand-in Gateway decides, without I/O: time comes in as a number, answers go out as messages."""
