"""Work: what language models cost, how they answer and are trained, and who asks when."""
