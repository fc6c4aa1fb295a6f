"""Clean samples: the folder, the pixels, and what the network expects of them."""
