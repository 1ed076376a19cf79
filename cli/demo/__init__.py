"""`tokentide demo`: its story, the numbers it shows, and how they look."""
