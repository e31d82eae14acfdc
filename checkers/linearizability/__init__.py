"""The parts of the checker `linearizable`: what it asks Porcupine, and how it explains a no."""
