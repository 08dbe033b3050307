"""What requests will take, and what answers took: tokens, and what they cost."""
