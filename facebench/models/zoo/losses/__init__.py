"""The losses face recognition is trained with, each as a torch module with its formula and source.

Every loss is called as ``loss(embeddings, labels)`` on (N, D) embeddings as the network gives them (it normalises
them itself where its formula says so) and (N,) class numbers, and returns the mean over the batch. θ_j is the angle
between an embedding x and the weight vector W_j of class j, y the true class, B the batch size, C the number of
classes, D the embedding dimension.

**Limits of class size.** A loss with class weights holds C · D numbers, as much again for their gradient and for the
optimiser's momentum, and B · C logits. At D = 512 and B = 512 in float32 a million classes take 2 GiB for each copy
of the weights and 2 GiB for the logits, so one device ends near a million identities; sub-centres multiply the
weights and the logits by K. `PartialFC` computes logits and gradients for a sample of the classes only, which moves
the limit to the weights themselves. `Triplet` has no class weights and no such limit, but needs at least two images
of an identity in a batch.
"""

from facebench.models.zoo.losses.angular import LSoftmax, Softmax, SphereFace
from facebench.models.zoo.losses.margin import ArcFace, CosFace, PartialFC, SubCentreArcFace
from facebench.models.zoo.losses.similarity import Circle, SFace, SphereFace2, Triplet

__all__ = [
    "ArcFace",
    "Circle",
    "CosFace",
    "LSoftmax",
    "PartialFC",
    "SFace",
    "Softmax",
    "SphereFace",
    "SphereFace2",
    "SubCentreArcFace",
    "Triplet",
]
