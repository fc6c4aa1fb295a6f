"""What the unlearned model tells about the backdoor."""
