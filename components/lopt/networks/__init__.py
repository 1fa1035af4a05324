"""Networks to be trained by an optimizer: Equinox modules, all of whose leaves are arrays.

So that a network is its own params, for `jax.grad` and for any optax transformation. Small ones
take one image and give its logits, `network(image)`, and stand many to a compiled program: their
convolutions are products of patches. Networks with batch normalization take a batch and what
they remember, `network(images, memory, training)`, and give logits and the next memory.
"""
