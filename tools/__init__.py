"""Development only: brings a new upstream document over and turns it into Python. Never in the wheel."""
