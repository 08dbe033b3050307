"""What tests share: services that misbehave, clocks that do not wait, sample lines, words for common steps."""
