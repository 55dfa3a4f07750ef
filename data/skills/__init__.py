"""What an assistant can be asked to do beyond answering, made from the truth of the world: how it is taught, and how it is tested."""
